// RunRanks of tier `multirank`: every rank is a thread of this process.
#include <gtest/gtest.h>

#include "orthant/comm/local.h"
#include "support/ranks.h"

namespace orthant::testing {

int MaxRanks() {
  return 64;
}

namespace {

void Run(int n, bool check, const std::function<void(Communicator& world)>& body) {
  LocalOptions options;
  options.timeout_seconds = 120;
  options.check = check;
  try {
    RunLocal(n, options, [&body](Communicator& world) {
      const ::testing::ScopedTrace trace(
          __FILE__, __LINE__, ::testing::Message() << "rank " << world.rank() << " of " << world.size());
      body(world);
    });
  } catch (const std::exception& error) {
    ADD_FAILURE() << "a rank of " << n << " threw: " << error.what();
  }
}

}  // namespace

void RunRanks(int n, const std::function<void(Communicator& world)>& body) {
  Run(n, /*check=*/false, body);
}

void RunCheckedRanks(int n, const std::function<void(Communicator& world)>& body) {
  Run(n, /*check=*/true, body);
}

}  // namespace orthant::testing
