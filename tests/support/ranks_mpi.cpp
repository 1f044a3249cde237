// RunRanks of tier `mpi`: the first n processes are the ranks.
#include <gtest/gtest.h>
#include <mpi.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "support/mpi_runtime.h"
#include "support/ranks.h"

namespace orthant::testing {
namespace {

// Meets the other ranks of this RunRanks, on a communicator that the body never used. When one rank has
// thrown, the others may hang in an operation with it: then its text is printed and the job ends.
void Meet(int n, const std::string& thrown) {
  MPI_Group whole = MPI_GROUP_NULL;
  MPI_Group part = MPI_GROUP_NULL;
  MPI_Comm comm = MPI_COMM_NULL;
  std::vector<int> members(n);
  std::iota(members.begin(), members.end(), 0);
  MPI_Comm_group(MPI_COMM_WORLD, &whole);
  MPI_Group_incl(whole, n, members.data(), &part);
  static constexpr int kTag = 7;
  if (!thrown.empty()) {
    // Creating a communicator waits without a limit: let the job end if the others do not come.
    std::thread([thrown] {
      std::this_thread::sleep_for(std::chrono::seconds(10));
      AbortTests("threw, and the others did not come to the end: " + thrown);
    }).detach();
  }
  MPI_Comm_create_group(MPI_COMM_WORLD, part, kTag, &comm);
  MPI_Barrier(comm);
  MPI_Comm_free(&comm);
  MPI_Group_free(&part);
  MPI_Group_free(&whole);
  if (!thrown.empty()) AbortTests("threw: " + thrown);
}

void Skip(int n) {
  GTEST_SKIP() << "skipped: needs " << n << " ranks, here are " << MaxRanks();
}

void Run(int n, Communicator& all, const std::function<void(Communicator& world)>& body) {
  if (n > MaxRanks()) return Skip(n);
  if (TestRuntime().rank() >= n) return;
  std::vector<int> members(n);
  std::iota(members.begin(), members.end(), 0);
  std::string thrown;
  try {
    const std::unique_ptr<Communicator> world = all.Subgroup(members, "world");
    const ::testing::ScopedTrace trace(
        __FILE__, __LINE__, ::testing::Message() << "rank " << world->rank() << " of " << world->size());
    body(*world);
  } catch (const std::exception& error) {
    thrown = error.what();
    if (thrown.empty()) thrown = "an exception without text";
  }
  Meet(n, thrown);
}

}  // namespace

int MaxRanks() {
  return TestRuntime().size();
}

void RunRanks(int n, const std::function<void(Communicator& world)>& body) {
  Run(n, TestWorld(), body);
}

void RunCheckedRanks(int n, const std::function<void(Communicator& world)>& body) {
  TestRuntime().SetCheck(true);
  const std::unique_ptr<Communicator> checked = TestRuntime().World();
  TestRuntime().SetCheck(false);
  Run(n, *checked, body);
}

}  // namespace orthant::testing
