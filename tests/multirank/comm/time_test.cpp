// CommTime: what a group's operations cost a rank. Sleeps make lower bounds that hold on any machine.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "ATen/ATen.h"
#include "support/ranks.h"

namespace orthant {
namespace {

using testing::RunRanks;
using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TEST(CommTime, BlockingOperationsAreExposed) {
  RunRanks(2, [](Communicator& world) {
    const CommTime before = world.time();
    const Clock::time_point start = Clock::now();
    world.AllReduce(at::ones({5000}), ReduceOp::kSum, "test");
    world.Barrier("test");
    const double passed = Since(start);
    EXPECT_GT(world.time().exposed, before.exposed);
    EXPECT_LE(world.time().exposed - before.exposed, passed);
    EXPECT_EQ(world.time().hidden, before.hidden);
  });
}

// Rank 1 cannot begin before rank 0 has slept, so the operation is under way for as long.
TEST(CommTime, WhatGoesOnBesideIsHidden) {
  for (const int64_t elements : {int64_t{1}, int64_t{100000}}) {
    RunRanks(2, [elements](Communicator& world) {
      const auto other = world.Subgroup({0, 1}, "other");
      const at::Tensor sum = at::ones({elements}), token = at::ones({1});
      constexpr double kSleep = 0.03;
      const Clock::time_point start = Clock::now();
      Work work;
      if (world.rank() == 0) {
        work = world.AllReduceAsync(sum, ReduceOp::kSum, "test");
        std::this_thread::sleep_for(std::chrono::duration<double>(kSleep));
        other->Send(token, 1, "token");
      } else {
        other->Recv(token, 0, "token");
        work = world.AllReduceAsync(sum, ReduceOp::kSum, "test");
      }
      work.Wait();
      const double passed = Since(start);
      const CommTime once = world.time();
      EXPECT_GT(once.exposed, 0);
      if (world.rank() == 0) {
        EXPECT_GE(once.hidden, kSleep);
      }
      EXPECT_LE(once.exposed + once.hidden, passed) << "one operation at a time";
      work.Wait();
      EXPECT_EQ(world.time().exposed, once.exposed) << "counted once";
      EXPECT_EQ(world.time().hidden, once.hidden);
      EXPECT_EQ(sum[0].item<float>(), 2.0f);
    });
  }
}

TEST(CommTime, MessagesCountOnBothEnds) {
  RunRanks(2, [](Communicator& world) {
    const at::Tensor tensor = at::ones({70000});
    Work work = world.rank() == 0 ? world.SendAsync(tensor, 1, "test") : world.RecvAsync(tensor, 0, "test");
    work.Wait();
    EXPECT_GT(world.time().exposed, 0);
    EXPECT_GE(world.time().hidden, 0);
  });
}

TEST(CommTime, EachGroupCountsItsOwn) {
  RunRanks(2, [](Communicator& world) {
    const auto one = world.Subgroup({0, 1}, "one"), two = world.Subgroup({0, 1}, "two");
    const auto alone = world.Subgroup({world.rank()}, "alone");
    one->AllReduce(at::ones({9}), ReduceOp::kSum, "test");
    alone->AllReduce(at::ones({9}), ReduceOp::kSum, "test");
    EXPECT_GT(one->time().exposed, 0);
    EXPECT_EQ(two->time().exposed, 0);
    EXPECT_EQ(alone->time().exposed, 0) << "a group of one rank communicates nothing";
  });
}

// A work may outlive its group.
TEST(CommTime, WorksKeepTheCounter) {
  RunRanks(2, [](Communicator& world) {
    const at::Tensor tensor = at::ones({3});
    Work work;
    {
      const auto group = world.Subgroup({0, 1}, "short");
      work = group->AllReduceAsync(tensor, ReduceOp::kSum, "test");
    }
    work.Wait();
    EXPECT_EQ(tensor[0].item<float>(), 2.0f);
  });
}

}  // namespace
}  // namespace orthant
