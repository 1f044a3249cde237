// Faults put in on purpose: into the program, the library or the device. Each must be found, by the backend
// or by the fake that checks how it is used.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "support/ranks_nccl.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

at::Tensor Constant(double value, int64_t size = 8) {
  return at::full({size}, value, at::kFloat);
}

void Sleep(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

FakeRanksOptions Impatient() {
  FakeRanksOptions options;
  options.timeout_seconds = 1;
  return options;
}

// Two groups of the same ranks; one rank uses them in another order.
void SwapOnOneRank(Communicator& world, FakeNccl&) {
  const auto a = world.Subgroup({0, 1}, "a");
  const auto b = world.Subgroup({0, 1}, "b");
  const at::Tensor one = Constant(1);
  const at::Tensor two = Constant(2);
  Communicator& first = world.rank() == 0 ? *a : *b;
  Communicator& second = world.rank() == 0 ? *b : *a;
  Work works[] = {first.AllReduceAsync(world.rank() == 0 ? one : two, ReduceOp::kSum, "swapped"),
                  second.AllReduceAsync(world.rank() == 0 ? two : one, ReduceOp::kSum, "swapped")};
  for (Work& work : works) work.Wait();
}

TEST(NcclFaultTest, ASwappedOrderOfTwoCommunicatorsIsFound) {
  // There is room for both on this device, so all goes well; the order is wrong all the same.
  const FakeRanksResult result = RunFakeRanks(2, {}, SwapOnOneRank);
  EXPECT_THAT(result.errors, Each(IsEmpty()));
  EXPECT_THAT(result.violations,
              Contains(AllOf(HasSubstr("communicators are used in different orders: rank 0 has come to "
                                       "all_reduce #0 of a@"),
                             HasSubstr("rank 1 has come to all_reduce #0 of b@"))));
}

TEST(NcclFaultTest, ASwappedOrderThatLocksUpEndsAtTheDeadline) {
  FakeRanksOptions options = Impatient();
  options.fake.device.resident = 1;
  const FakeRanksResult result = RunFakeRanks(2, options, SwapOnOneRank);
  EXPECT_THAT(result.errors, Each(HasSubstr("all_reduce 'swapped' (sum, 8 fp32) seq=1 on rank")));
  EXPECT_THAT(result.errors, Each(HasSubstr("waited 1 s for its peers")));
  EXPECT_THAT(result.reports, Each("late"));
  EXPECT_GE(result.aborts, 2);
}

TEST(NcclFaultTest, ADroppedGroupEndIsFound) {
  FakeRanksOptions options = Impatient();
  options.fake.drop_group_end_on = 1;
  const FakeRanksResult result = RunFakeRanks(2, options, [](Communicator& world, FakeNccl&) {
    const at::Tensor output = at::empty({4});
    world.AllToAll(output, Constant(1, 4), "exchange");
  });
  EXPECT_THAT(result.violations, Contains("rank 1 started a group and did not end it"));
  EXPECT_THAT(result.errors[0], AllOf(HasSubstr("world.all_to_all 'exchange' (2 fp32) seq=1 on rank 0 of 2"),
                                      HasSubstr("all_to_all is still in progress after 1 s")));
  EXPECT_THAT(result.reports, Contains("late"));
}

// The events of the device lie, so the backend lets go of memory that is still in use.
TEST(NcclFaultTest, ATensorFreedEarlyIsFound) {
  for (const bool lie : {false, true}) {
    FakeRanksOptions options;
    options.fake.device.early_events = lie;
    const FakeRanksResult result = RunFakeRanks(2, options, [](Communicator& world, FakeNccl& fake) {
      const auto hosts = world.Subgroup({0, 1}, "hosts");
      const at::Tensor sum = fake.devices().Tensor(16, at::kFloat).fill_(1);
      world.AllReduce(sum, ReduceOp::kSum, "opens");
      if (world.rank() == 0) {
        world.AllReduceAsync(fake.devices().Tensor(16, at::kFloat).fill_(3), ReduceOp::kSum, "temporary");
        Sleep(300);
        hosts->Barrier("now");
      } else {
        hosts->Barrier("now");
        world.AllReduce(sum, ReduceOp::kSum, "temporary");
      }
    });
    EXPECT_THAT(result.errors, Each(IsEmpty()));
    if (lie) {
      EXPECT_THAT(result.violations,
                  Contains("all_reduce of rank 0 uses memory that was freed before it ran"));
    } else {
      EXPECT_THAT(result.violations, IsEmpty());
    }
  }
}

TEST(NcclFaultTest, AnAsynchronousErrorEndsTheOperationWithItsLabel) {
  FakeRanksOptions options = Impatient();
  options.fake.async_error_on = 1;
  options.fake.async_error_after = 2;
  const FakeRanksResult result = RunFakeRanks(2, options, [](Communicator& world, FakeNccl&) {
    for (int i = 0; i < 5; ++i) world.AllReduce(Constant(1), ReduceOp::kSum, Label("grad", 4, i));
  });
  EXPECT_THAT(result.errors[1],
              AllOf(HasSubstr("world.all_reduce 'grad layer=4 mb=2' (sum, 8 fp32) seq=3 on rank 1 of 2"),
                    HasSubstr("ncclCommGetAsyncError: remote process exited or there was a network error"),
                    HasSubstr("the fake lost a connection")));
  EXPECT_THAT(result.errors[0],
              AllOf(HasSubstr("'grad layer=4 mb=2'"), HasSubstr("waited 1 s for its peers")));
  EXPECT_THAT(result.reports, Contains(HasSubstr("remote process exited")));
  EXPECT_EQ(result.aborts, 2);
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_THAT(result.flights, Each(HasSubstr("seq=3 'grad layer=4 mb=2' 8 fp32 failed")));
}

TEST(NcclFaultTest, AHangingDeviceEndsAtTheDeadlineOnEveryCommunicator) {
  FakeRanksOptions options = Impatient();
  options.fake.hang_on = 1;
  options.fake.hang_after = 1;
  const FakeRanksResult result = RunFakeRanks(2, options, [](Communicator& world, FakeNccl&) {
    const auto other = world.Subgroup({0, 1}, "other");
    world.AllReduce(Constant(1), ReduceOp::kSum, "goes well");
    try {
      world.AllReduce(Constant(1), ReduceOp::kSum, "hangs");
      ADD_FAILURE() << "rank " << world.rank() << " came to the end of what hangs";
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(), HasSubstr("world.all_reduce 'hangs'"));
    }
    other->AllReduce(Constant(1), ReduceOp::kSum, "after");
  });
  EXPECT_THAT(result.errors, Each(AllOf(HasSubstr("other.all_reduce 'after'"), HasSubstr("was given up"),
                                        HasSubstr("'hangs'"))));
  EXPECT_EQ(result.aborts, 4);
  EXPECT_THAT(result.violations, IsEmpty());
}

TEST(NcclFaultTest, AMissingRankIsLate) {
  const FakeRanksResult result = RunFakeRanks(3, Impatient(), [](Communicator& world, FakeNccl&) {
    if (world.rank() == 2) return Sleep(1500);
    const at::Tensor sum = Constant(1);
    Work work = world.AllReduceAsync(sum, ReduceOp::kSum, "two of three");
    work.Wait();
  });
  for (const int rank : {0, 1}) {
    EXPECT_THAT(result.errors[static_cast<size_t>(rank)],
                AllOf(HasSubstr("'two of three'"), HasSubstr("waited 1 s for its peers")));
  }
  EXPECT_THAT(result.reports, Contains("late"));
}

TEST(NcclFaultTest, APeerThatNeverComesToAMessageIsLate) {
  const FakeRanksResult result = RunFakeRanks(2, Impatient(), [](Communicator& world, FakeNccl&) {
    if (world.rank() == 1) return Sleep(1500);
    const at::Tensor got = Constant(0);
    world.Recv(got, 1, "never sent");
  });
  EXPECT_THAT(result.errors[0],
              AllOf(HasSubstr("world.recv 'never sent' (8 fp32)"), HasSubstr("waited 1 s")));
}

// A rank that an exception takes out of its groups waits for nobody, and gives its communicators up.
TEST(NcclFaultTest, AnExceptionEndsTheGroupsWithoutTheOthers) {
  const FakeRanksResult result = RunFakeRanks(2, Impatient(), [](Communicator& world, FakeNccl&) {
    const at::Tensor sum = Constant(1);
    Work work = world.AllReduceAsync(sum, ReduceOp::kSum, "left alone");
    if (world.rank() == 1) throw CommError("something else");
    work.Wait();
    world.AllReduce(sum, ReduceOp::kSum, "left alone");
  });
  EXPECT_EQ(result.errors[1], "something else");
  EXPECT_THAT(result.errors[0], HasSubstr("'left alone'"));
  EXPECT_EQ(result.aborts, 2);
}

// Whoever believes a call that is still in progress records its event too early, and calls again too early.
TEST(NcclFaultTest, CallsThatAreStillInProgressAreFound) {
  FakeRanksOptions options = Impatient();
  options.fake.polls = 50;
  options.fake.ignore_progress_on = 1;
  const FakeRanksResult result = RunFakeRanks(2, options, [](Communicator& world, FakeNccl&) {
    for (int i = 0; i < 3; ++i) world.AllReduce(Constant(1), ReduceOp::kSum, "x");
  });
  EXPECT_THAT(result.violations, Contains(HasSubstr("which has a call in progress")));
}

TEST(NcclFaultTest, RanksThatDisagreeAreFound) {
  const auto disagree = [](Communicator& world, FakeNccl&) {
    world.AllReduce(Constant(1, 8 + world.rank()), ReduceOp::kSum, "sizes");
  };
  FakeRanksOptions options = Impatient();
  options.check = true;
  const FakeRanksResult checked = RunFakeRanks(2, options, disagree);
  EXPECT_THAT(
      checked.errors,
      Each(HasSubstr("the ranks of world disagree on collective 1: rank 0 calls all_reduce 'sizes' (sum, "
                     "8 fp32), rank 1 calls all_reduce 'sizes' (sum, 9 fp32)")));
  EXPECT_THAT(RunFakeRanks(2, Impatient(), disagree).violations,
              Contains(HasSubstr("disagree on a collective")));
}

}  // namespace
}  // namespace orthant::testing
