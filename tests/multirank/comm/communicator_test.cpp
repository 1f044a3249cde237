// What a communicator promises beside the results: order, operations in flight, messages, counted bytes,
// refusals.
#include "orthant/comm/communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "support/ranks.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

at::Tensor Constant(double value, int64_t size) {
  return at::full({size}, value, at::kFloat);
}

bool Is(const at::Tensor& tensor, double value) {
  return tensor.eq(value).all().item<bool>();
}

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no error";
}

TEST(CommunicatorTest, ManyOperationsInFlightOnTwoGroups) {
  RunRanks(4, [](Communicator& world) {
    const int me = world.rank();
    const auto row = world.Subgroup(me < 2 ? std::vector<int>{0, 1} : std::vector<int>{2, 3}, "row");
    const auto column =
        world.Subgroup(me % 2 == 0 ? std::vector<int>{0, 2} : std::vector<int>{1, 3}, "column");
    for (int round = 0; round < 3; ++round) {
      std::vector<at::Tensor> rows;
      std::vector<at::Tensor> columns;
      std::vector<Work> row_works;
      std::vector<Work> column_works;
      for (int i = 0; i < 40; ++i) {
        const int64_t size = i % 3 == 0 ? 9000 : 17;
        rows.push_back(Constant(me + i, size));
        columns.push_back(Constant(10 * me + i, size));
        row_works.push_back(row->AllReduceAsync(rows.back(), ReduceOp::kSum, "row"));
        column_works.push_back(column->AllReduceAsync(columns.back(), ReduceOp::kMax, "column"));
      }
      // Half of the ranks wait for the rows first, the others for the columns: no order may hang.
      std::vector<Work>& first = me % 3 == 0 ? row_works : column_works;
      std::vector<Work>& second = me % 3 == 0 ? column_works : row_works;
      for (Work& work : first) work.Wait();
      for (Work& work : second) work.Wait();
      const int row_sum = me < 2 ? 1 : 5;
      const int column_max = 10 * (me % 2 + 2);
      for (int i = 0; i < 40; ++i) {
        EXPECT_TRUE(Is(rows[i], row_sum + 2 * i)) << "row " << i;
        EXPECT_TRUE(Is(columns[i], column_max + i)) << "column " << i;
      }
    }
  });
}

TEST(CommunicatorTest, BlockingOperationsMayFollowUnfinishedOnes) {
  RunRanks(3, [](Communicator& world) {
    const at::Tensor early = Constant(world.rank(), 30000);
    const at::Tensor late = Constant(1, 5);
    Work work = world.AllReduceAsync(early, ReduceOp::kSum, "early");
    world.AllReduce(late, ReduceOp::kSum, "late");
    EXPECT_TRUE(Is(late, 3));
    work.Wait();
    work.Wait();  // again: nothing happens
    EXPECT_TRUE(Is(early, 3));
  });
}

TEST(CommunicatorTest, RanksMayWaitInAnyOrder) {
  RunRanks(2, [](Communicator& world) {
    std::vector<at::Tensor> tensors;
    std::vector<Work> works;
    for (int i = 0; i < 20; ++i) {
      tensors.push_back(Constant(i, 20000));
      works.push_back(world.AllReduceAsync(tensors.back(), ReduceOp::kSum, "x"));
    }
    for (int i = 0; i < 20; ++i) works[world.rank() == 0 ? 19 - i : i].Wait();
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(Is(tensors[i], 2 * i));
  });
}

TEST(CommunicatorTest, MessagesKeepTheirOrderPerPair) {
  for (const int64_t size : {int64_t{3}, int64_t{50000}}) {
    RunRanks(3, [size](Communicator& world) {
      constexpr int kMessages = 12;
      if (world.rank() == 0) {
        std::vector<at::Tensor> from_1;
        std::vector<at::Tensor> from_2;
        std::vector<Work> works;
        for (int i = 0; i < kMessages; ++i) {
          from_1.push_back(at::empty({size}));
          from_2.push_back(at::empty({size}));
          works.push_back(world.RecvAsync(from_2.back(), 2, "two"));
          if (i % 2 == 0) {
            works.push_back(world.RecvAsync(from_1.back(), 1, "one"));
          } else {
            world.Recv(from_1.back(), 1, "one");
          }
        }
        for (Work& work : works) work.Wait();
        for (int i = 0; i < kMessages; ++i) {
          EXPECT_TRUE(Is(from_1[i], 100 + i));
          EXPECT_TRUE(Is(from_2[i], 200 + i));
        }
      } else {
        std::vector<Work> works;
        for (int i = 0; i < kMessages; ++i) {
          // The temporary's memory is kept by the operation.
          works.push_back(world.SendAsync(Constant(100 * world.rank() + i, size), 0, "x"));
        }
        for (Work& work : works) work.Wait();
      }
    });
  }
}

TEST(CommunicatorTest, MessagesPassCollectivesThatAreNotReady) {
  RunRanks(2, [](Communicator& world) {
    const at::Tensor sum = Constant(1, 20000);
    const at::Tensor message = Constant(world.rank(), 20000);
    if (world.rank() == 0) {
      Work work = world.AllReduceAsync(sum, ReduceOp::kSum, "sum");
      world.Send(message, 1, "go");  // the other rank joins the all-reduce only after it
      work.Wait();
    } else {
      world.Recv(message, 0, "go");
      world.AllReduce(sum, ReduceOp::kSum, "sum");
      EXPECT_TRUE(Is(message, 0));
    }
    EXPECT_TRUE(Is(sum, 2));
  });
}

// The order of a 1F1B pipeline: sends are waited for only when the step ends.
TEST(CommunicatorTest, PipelineOfSends) {
  RunRanks(4, [](Communicator& world) {
    const int me = world.rank();
    const int last = world.size() - 1;
    constexpr int kMicrobatches = 8;
    constexpr int64_t kSize = 40000;
    std::vector<Work> sends;
    int forwards = 0;
    int backwards = 0;
    const auto forward = [&] {
      at::Tensor activation = Constant(forwards, kSize);
      if (me > 0) world.Recv(activation, me - 1, Label("act", -1, forwards));
      EXPECT_TRUE(Is(activation, forwards + me));
      if (me < last) sends.push_back(world.SendAsync(activation + 1, me + 1, Label("act", -1, forwards)));
      ++forwards;
    };
    const auto backward = [&] {
      at::Tensor gradient = Constant(100 + backwards, kSize);
      if (me < last) world.Recv(gradient, me + 1, Label("grad", -1, backwards));
      EXPECT_TRUE(Is(gradient, 100 + backwards + last - me));
      if (me > 0) sends.push_back(world.SendAsync(gradient + 1, me - 1, Label("grad", -1, backwards)));
      ++backwards;
    };
    for (int i = 0; i < last - me; ++i) forward();
    while (forwards < kMicrobatches) {
      forward();
      backward();
    }
    while (backwards < kMicrobatches) backward();
    for (Work& send : sends) send.Wait();
  });
}

TEST(CommunicatorTest, SubgroupsOfSubgroupsAndTheSameNameTwice) {
  RunRanks(4, [](Communicator& world) {
    const std::vector<int> half = world.rank() < 2 ? std::vector<int>{0, 1} : std::vector<int>{2, 3};
    const auto first = world.Subgroup(half, "half");
    const auto second = world.Subgroup(half, "half");
    const auto alone = first->Subgroup({first->rank()}, "alone");
    EXPECT_EQ(first->size(), 2);
    EXPECT_EQ(first->name(), "half");
    EXPECT_EQ(alone->size(), 1);
    EXPECT_EQ(alone->rank(), 0);
    const at::Tensor a = Constant(1, 100);
    const at::Tensor b = Constant(2, 100);
    Work work_a = first->AllReduceAsync(a, ReduceOp::kSum, "a");
    second->AllReduce(b, ReduceOp::kSum, "b");
    work_a.Wait();
    alone->AllReduce(a, ReduceOp::kSum, "alone");
    EXPECT_TRUE(Is(a, 2));
    EXPECT_TRUE(Is(b, 4));
    EXPECT_THAT(ErrorOf([&] {
                  world.Subgroup({world.rank(), world.rank()}, "bad");
                }),
                HasSubstr("ascending"));
  });
}

TEST(CommunicatorTest, CountsBytesByTheTextbook) {
  RunRanks(4, [](Communicator& world) {
    const auto sent = [&world](const std::function<void()>& call) {
      const int64_t before = world.bytes_sent();
      call();
      return world.bytes_sent() - before;
    };
    const at::Tensor small = Constant(1, 100);  // 400 bytes
    const at::Tensor whole = Constant(1, 400);
    const at::Tensor other = Constant(1, 400);
    const bool root = world.rank() == 1;
    EXPECT_EQ(sent([&] { world.AllReduce(small, ReduceOp::kSum, "t"); }), 600);
    EXPECT_EQ(sent([&] { world.AllReduceAsync(small, ReduceOp::kSum, "t").Wait(); }), 600);
    EXPECT_EQ(sent([&] { world.ReduceScatter(small, whole, ReduceOp::kSum, "t"); }), 1200);
    EXPECT_EQ(sent([&] { world.AllGather(whole, small, "t"); }), 1200);
    EXPECT_EQ(sent([&] { world.AllToAll(other, whole, "t"); }), 1200);
    EXPECT_EQ(sent([&] { world.Broadcast(small, 1, "t"); }), world.rank() == 0 ? 0 : 400);
    EXPECT_EQ(sent([&] { world.Reduce(small, ReduceOp::kSum, 1, "t"); }), root ? 0 : 400);
    EXPECT_EQ(sent([&] { world.Scatter(small, root ? whole : at::Tensor(), 1, "t"); }), root ? 1200 : 0);
    EXPECT_EQ(sent([&] { world.Gather(root ? whole : at::Tensor(), small, 1, "t"); }), root ? 0 : 400);
    EXPECT_EQ(sent([&] {
                if (world.rank() == 0) world.Send(small, 3, "t");
                if (world.rank() == 3) world.Recv(small, 0, "t");
              }),
              world.rank() == 0 ? 400 : 0);
  });
}

TEST(CommunicatorTest, RefusesWhatBreaksARule) {
  RunRanks(2, [](Communicator& world) {
    const at::Tensor four = Constant(1, 4);
    const at::Tensor three = Constant(1, 3);
    const at::Tensor strided = Constant(1, 8).view({4, 2}).t();
    EXPECT_THAT(ErrorOf([&] { world.AllReduce(strided, ReduceOp::kSum, Label("attn.out", 7)); }),
                AllOf(HasSubstr("world.all_reduce 'attn.out layer=7'"), HasSubstr("contiguous"),
                      HasSubstr("[2, 4]")));
    EXPECT_THAT(ErrorOf([&] { world.AllReduce(at::ones({2}, at::kInt), ReduceOp::kSum, "t"); }),
                HasSubstr("dtype"));
    EXPECT_THAT(ErrorOf([&] { world.AllReduce({}, ReduceOp::kSum, "t"); }), HasSubstr("undefined"));
    EXPECT_THAT(ErrorOf([&] { world.AllGather(four, three, "t"); }), HasSubstr("need 6"));
    EXPECT_THAT(ErrorOf([&] { world.ReduceScatter(three, four, ReduceOp::kSum, "t"); }), HasSubstr("need 6"));
    EXPECT_THAT(ErrorOf([&] { world.AllToAll(three, three, "t"); }), HasSubstr("divisible by 2"));
    EXPECT_THAT(ErrorOf([&] { world.AllToAll(four, four, "t"); }), HasSubstr("alias"));
    EXPECT_THAT(ErrorOf([&] { world.AllGather(four.to(at::kDouble), Constant(1, 2), "t"); }),
                AllOf(HasSubstr("fp64"), HasSubstr("fp32")));
    EXPECT_THAT(ErrorOf([&] { world.AllToAllSplit(four, {2, 2}, three, {2, 2}, "t"); }), HasSubstr("add up"));
    EXPECT_THAT(ErrorOf([&] {
                  world.AllToAllSplit(four, {5, -1}, three, {2, 1}, "t");
                }),
                HasSubstr("add up"));
    EXPECT_THAT(ErrorOf([&] { world.Broadcast(four, 2, "t"); }), HasSubstr("root 2"));
    EXPECT_THAT(ErrorOf([&] { world.Scatter(four, three, world.rank(), "t"); }), HasSubstr("8 fp32"));
    EXPECT_THAT(ErrorOf([&] { world.Send(four, world.rank(), "t"); }), HasSubstr("peer"));
    // Nothing of it was sent: the group works as before.
    world.AllReduce(four, ReduceOp::kSum, "t");
    EXPECT_TRUE(Is(four, 2));
  });
}

TEST(CommunicatorTest, RecordsEveryOperation) {
  RunRanks(2, [](Communicator& world) {
    const auto pair = world.Subgroup({0, 1}, "pair");
    const size_t before = world.flight_recorder()->Entries().size();
    const at::Tensor tensor = Constant(1, 8);
    world.AllReduce(tensor, ReduceOp::kSum, Label("attn.out", 7, 3));
    Work work = pair->BroadcastAsync(tensor, 1, "weights");
    work.Wait();
    const std::vector<FlightEntry> entries = world.flight_recorder()->Entries();
    ASSERT_GE(entries.size(), 2u);
    if (entries.size() < world.flight_recorder()->capacity()) {
      EXPECT_EQ(entries.size(), before + 2);
    }
    const FlightEntry& last = entries.back();
    EXPECT_EQ(last.op, OpKind::kBroadcast);
    EXPECT_EQ(last.peer, 1);
    EXPECT_EQ(last.elements, 8);
    EXPECT_EQ(last.state, FlightState::kDone);
    EXPECT_THAT(world.flight_recorder()->Dump(2),
                AllOf(HasSubstr("world.all_reduce"), HasSubstr("pair.broadcast"),
                      HasSubstr("'attn.out layer=7 mb=3' 8 fp32 done")));
  });
}

}  // namespace
}  // namespace orthant::testing
