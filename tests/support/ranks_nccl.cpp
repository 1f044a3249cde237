#include "support/ranks_nccl.h"

#include <gtest/gtest.h>

#include <mutex>
#include <numeric>

#include "comm/nccl_communicator.h"
#include "orthant/comm/local.h"
#include "support/ranks.h"

namespace orthant::testing {
namespace {

void RunOne(Communicator& host, FakeNccl* fake, const FakeRanksOptions& options, std::mutex* mutex,
            FakeRanksResult* result, const std::function<void(Communicator& world, FakeNccl& fake)>& body) {
  const int rank = host.rank();
  host.flight_recorder()->set_timeout(options.timeout_seconds);
  auto context = std::make_shared<nccl::Context>(
      fake->Table(rank), fake->devices().Table(rank), host.flight_recorder(), fake->MakeLetters(rank),
      [&](const std::string& message) {
        const std::lock_guard lock(*mutex);
        result->reports.push_back(message.empty() ? "late" : message);
      },
      /*poll_seconds=*/0.005);
  std::vector<int> all(static_cast<size_t>(host.size()));
  std::iota(all.begin(), all.end(), 0);
  std::string error;
  try {
    nccl::NcclCommunicator world(context, host.Subgroup(all, "world"), options.check);
    body(world, *fake);
  } catch (const CommError& thrown) {
    error = thrown.what();
  }
  const std::string flight = host.flight_recorder()->Dump();
  const std::lock_guard lock(*mutex);
  result->errors[static_cast<size_t>(rank)] = error;
  result->flights[static_cast<size_t>(rank)] = flight;
}

void Run(int n, bool check, const std::function<void(Communicator& world)>& body) {
  FakeRanksOptions options;
  options.check = check;
  options.fake.polls = 2;
  options.fake.device.delay_us = 30;
  const FakeRanksResult result = RunFakeRanks(n, options, [&body](Communicator& world, FakeNccl&) {
    const ::testing::ScopedTrace trace(
        __FILE__, __LINE__, ::testing::Message() << "rank " << world.rank() << " of " << world.size());
    body(world);
  });
  for (size_t rank = 0; rank < result.errors.size(); ++rank) {
    if (!result.errors[rank].empty()) ADD_FAILURE() << "rank " << rank << " threw: " << result.errors[rank];
  }
  for (const std::string& violation : result.violations) ADD_FAILURE() << violation;
}

}  // namespace

FakeRanksResult RunFakeRanks(int n, const FakeRanksOptions& options,
                             const std::function<void(Communicator& world, FakeNccl& fake)>& body) {
  FakeRanksResult result;
  result.errors.resize(static_cast<size_t>(n));
  result.flights.resize(static_cast<size_t>(n));
  FakeNccl fake(n, options.fake);
  std::mutex mutex;
  LocalOptions local;
  local.timeout_seconds = options.timeout_seconds;
  local.check = options.check;
  RunLocal(n, local, [&](Communicator& host) { RunOne(host, &fake, options, &mutex, &result, body); });
  result.violations = fake.Finish();
  result.aborts = fake.aborts();
  result.splits = fake.splits();
  return result;
}

int MaxRanks() {
  return 64;
}

void RunRanks(int n, const std::function<void(Communicator& world)>& body) {
  Run(n, /*check=*/false, body);
}

void RunCheckedRanks(int n, const std::function<void(Communicator& world)>& body) {
  Run(n, /*check=*/true, body);
}

}  // namespace orthant::testing
