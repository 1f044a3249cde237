// Ranks that call different things: what the rolling hash, its explanation and comm.check find, and what a
// filter can rehearse.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "orthant/comm/local.h"
#include "support/ranks.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Does one thing to the n-th operation with a label.
class OneFault : public OperationFilter {
 public:
  OneFault(std::string label, Action action, std::function<void(Operation*)> change = nullptr)
      : label_(std::move(label)), action_(action), change_(std::move(change)) {}
  Action Before(Operation* op) override {
    if (done_ || label_ != op->label.what) return Action::kPass;
    done_ = true;
    if (change_) change_(op);
    return action_;
  }

 private:
  std::string label_;
  Action action_;
  std::function<void(Operation*)> change_;
  bool done_ = false;
};

double BalanceOver(Communicator& world, const std::vector<const Communicator*>& groups) {
  at::Tensor sum = at::zeros({1}, at::kDouble);
  for (const Communicator* group : groups) sum += group->HashBalance();
  world.AllReduce(sum, ReduceOp::kSum, "balance");
  return sum.item<double>();
}

// Every operation, blocking and not.
void CallEverything(Communicator& world) {
  const int n = world.size();
  const at::Tensor share = at::ones({6});
  const at::Tensor whole = at::ones({6 * n});
  const std::vector<int64_t> counts(static_cast<size_t>(n), 2);
  world.AllReduce(share, ReduceOp::kSum, Label("all_reduce", 3, 1));
  world.Reduce(share, ReduceOp::kMax, 0, "reduce");
  world.Broadcast(share, n - 1, "broadcast");
  world.AllGather(whole, share, "all_gather");
  world.ReduceScatter(share, whole, ReduceOp::kSum, "reduce_scatter");
  world.AllToAll(at::empty({6 * n}), whole, "all_to_all");
  world.AllToAllSplit(at::empty({2 * n}), counts, at::ones({2 * n}), counts, "all_to_all_split");
  world.Scatter(share, whole, 0, "scatter");
  world.Gather(whole, share, 0, "gather");
  world.Barrier("barrier");
  Work reduced = world.AllReduceAsync(share, ReduceOp::kSum, "async");
  const at::Tensor come = at::empty({6});
  const int next = (world.rank() + 1) % n;
  const int before = (world.rank() + n - 1) % n;
  Work received = world.RecvAsync(come, before, Label("message", -1, 2));
  Work sent = world.SendAsync(share, next, Label("message", -1, 2));
  received.Wait();
  sent.Wait();
  reduced.Wait();
}

TEST(RollingHashRanksTest, BalancesOverEveryOperationAndGroup) {
  for (const int ranks : {2, 3, 4}) {
    RunRanks(ranks, [ranks](Communicator& world) {
      std::vector<int> low = {0, 1};
      if (world.rank() > 1) {
        low.clear();
        for (int rank = 2; rank < ranks; ++rank) low.push_back(rank);
      }
      const auto group = world.Subgroup(low, "half");
      CallEverything(world);
      if (group->size() > 1) CallEverything(*group);
      EXPECT_EQ(BalanceOver(world, {&world, group.get()}), 0.0);
      EXPECT_EQ(world.ExplainImbalance(), "");
      EXPECT_EQ(group->ExplainImbalance(), "");
    });
  }
}

TEST(RollingHashRanksTest, AnotherLabelIsFoundAndExplained) {
  RunRanks(4, [](Communicator& world) {
    world.flight_recorder()->SetStep(12);
    const at::Tensor tensor = at::ones({8});
    world.AllReduce(tensor, ReduceOp::kSum, "first");
    world.AllReduce(tensor, ReduceOp::kSum, world.rank() == 2 ? Label("mlp.out", 7) : Label("attn.out", 7));
    world.AllReduce(tensor, ReduceOp::kSum, "last");
    EXPECT_NE(BalanceOver(world, {&world}), 0.0);
    const auto describe = [](int rank) { return "T" + std::to_string(rank); };
    const std::string text = world.ExplainImbalance(describe);
    EXPECT_THAT(text, AllOf(HasSubstr("the ranks of world (ranks 0-3) differ at collective 2, step 12"),
                            HasSubstr("T2 calls all_reduce 'mlp.out layer=7' (sum, 8 fp32)"),
                            HasSubstr("ranks 0, 1, 3 call all_reduce 'attn.out layer=7' (sum, 8 fp32)")));
  });
}

TEST(RollingHashRanksTest, ASkippedOrDoubledOperationShows) {
  for (const OperationFilter::Action action :
       {OperationFilter::Action::kPass, OperationFilter::Action::kSkip, OperationFilter::Action::kDouble}) {
    RunRanks(2, [action](Communicator& world) {
      const auto pair = world.Subgroup({0, 1}, "pair");
      OneFault fault("grads", action);
      if (world.rank() == 1) pair->SetFilter(&fault);
      // The other rank makes up for it, so that nothing hangs here.
      const at::Tensor tensor = at::ones({8});
      pair->AllReduce(tensor, ReduceOp::kSum, "grads");
      const bool more = world.rank() == (action == OperationFilter::Action::kSkip ? 1 : 0);
      if (action != OperationFilter::Action::kPass && more) pair->AllReduce(tensor, ReduceOp::kSum, "late");
      pair->SetFilter(nullptr);
      const double balance = BalanceOver(world, {&world, pair.get()});
      const std::string text = pair->ExplainImbalance();
      if (action == OperationFilter::Action::kPass) {
        EXPECT_EQ(balance, 0.0);
        EXPECT_EQ(text, "");
      } else {
        EXPECT_NE(balance, 0.0);
        EXPECT_THAT(text, AllOf(HasSubstr("of pair"), HasSubstr("'late'"), HasSubstr("'grads'")));
      }
      EXPECT_EQ(world.ExplainImbalance(), "");
    });
  }
}

TEST(RollingHashRanksTest, AnOperationTooFewAtTheEndIsCounted) {
  RunRanks(2, [](Communicator& world) {
    const auto pair = world.Subgroup({0, 1}, "pair");
    Work sent;
    if (world.rank() == 0) sent = pair->SendAsync(at::ones({8}), 1, "left over");
    EXPECT_NE(BalanceOver(world, {&world, pair.get()}), 0.0);
    const std::string text = pair->ExplainImbalance();
    EXPECT_THAT(text, AllOf(HasSubstr("rank 0 has sent 1 messages of pair to rank 1, which has received 0"),
                            HasSubstr("send 'left over'")));
    world.Barrier("explained");
    const at::Tensor come = at::empty({8});
    if (world.rank() == 1) pair->Recv(come, 0, "left over");
    sent.Wait();
  });
}

TEST(FilterTest, IsInheritedAndMayChangeTheOperation) {
  RunRanks(2, [](Communicator& world) {
    OneFault fault("x", OperationFilter::Action::kPass, [](Operation* op) { op->label.what = "y"; });
    world.SetFilter(&fault);
    const auto pair = world.Subgroup({0, 1}, "pair");
    EXPECT_EQ(pair->filter(), &fault);
    const at::Tensor tensor = at::ones({8});
    pair->AllReduceAsync(tensor, ReduceOp::kSum, "x").Wait();
    EXPECT_TRUE(tensor.eq(2).all().item<bool>());
    EXPECT_THAT(world.flight_recorder()->Last(), HasSubstr("'y'"));
    world.SetFilter(nullptr);
  });
}

TEST(FlightStepTest, EntriesCarryTheStepAndGroupsTheirMembers) {
  RunRanks(3, [](Communicator& world) {
    world.flight_recorder()->SetStep(4);
    world.flight_recorder()->SetActivity("forward");
    world.Barrier("x");
    EXPECT_EQ(world.flight_recorder()->Entries().back().step, 4);
    EXPECT_STREQ(world.flight_recorder()->activity(), "forward");
    EXPECT_EQ(world.world_ranks().size(), 3u);
  });
}

TEST(CheckTest, WhatIsAlikePasses) {
  for (const int ranks : {2, 3, 4}) {
    RunCheckedRanks(ranks, [ranks](Communicator& world) {
      CallEverything(world);
      std::vector<int> all;
      for (int rank = 0; rank < ranks; ++rank) all.push_back(rank);
      CallEverything(*world.Subgroup(all, "again"));
    });
  }
}

TEST(CheckTest, ManyMessagesInFlightKeepTheirOrder) {
  RunCheckedRanks(2, [](Communicator& world) {
    for (const int64_t size : {int64_t{3}, int64_t{40000}}) {
      std::vector<at::Tensor> out;
      std::vector<at::Tensor> in;
      std::vector<Work> works;
      for (int i = 0; i < 20; ++i) {
        out.push_back(at::full({size}, 100 * world.rank() + i, at::kFloat));
        in.push_back(at::empty({size}));
        works.push_back(world.SendAsync(out.back(), 1 - world.rank(), Label("x", -1, i)));
        works.push_back(world.RecvAsync(in.back(), 1 - world.rank(), Label("x", -1, i)));
      }
      for (Work& work : works) work.Wait();
      for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(in[static_cast<size_t>(i)].eq(100 * (1 - world.rank()) + i).all().item<bool>());
      }
    }
  });
}

// Every rank fails with a text that names both calls, and no data has moved. On `local` the others may stop
// because the first has failed, with its text.
void ExpectRefused(int ranks, const std::function<void(Communicator& world, const at::Tensor& tensor)>& call,
                   const std::string& one, const std::string& other) {
  RunCheckedRanks(ranks, [&](Communicator& world) {
    const at::Tensor tensor = at::full({8}, world.rank(), at::kFloat);
    std::string error = "no error";
    try {
      call(world, tensor);
    } catch (const CommError& failure) {
      error = failure.what();
    }
    EXPECT_THAT(error, AllOf(HasSubstr(one), HasSubstr(other)));
    EXPECT_TRUE(tensor.eq(world.rank()).all().item<bool>());
  });
}

TEST(CheckTest, AnotherLabelIsRefused) {
  ExpectRefused(
      3,
      [](Communicator& world, const at::Tensor& tensor) {
        world.AllReduce(tensor, ReduceOp::kSum,
                        world.rank() == 2 ? Label("mlp.out", 7) : Label("attn.out", 7));
      },
      "rank 0 calls all_reduce 'attn.out layer=7'", "rank 2 calls all_reduce 'mlp.out layer=7'");
  ExpectRefused(
      2,
      [](Communicator& world, const at::Tensor& tensor) {
        world.AllReduceAsync(tensor, ReduceOp::kSum, Label("attn.out", 7 + world.rank())).Wait();
      },
      "layer=7", "layer=8");
}

TEST(CheckTest, AnotherShapeDtypeOrOperationIsRefused) {
  ExpectRefused(
      2,
      [](Communicator& world, const at::Tensor& tensor) {
        world.AllReduce(tensor.slice(0, 0, 8 - world.rank()), ReduceOp::kSum, "x");
      },
      "(sum, 8 fp32)", "(sum, 7 fp32)");
  ExpectRefused(
      2,
      [](Communicator& world, const at::Tensor& tensor) {
        world.AllReduce(world.rank() == 0 ? tensor : tensor.to(at::kDouble), ReduceOp::kSum, "x");
      },
      "8 fp32", "8 fp64");
  ExpectRefused(
      2,
      [](Communicator& world, const at::Tensor& tensor) {
        if (world.rank() == 0) {
          world.AllReduce(tensor, ReduceOp::kSum, "x");
        } else {
          world.Broadcast(tensor, 1, "weights");
        }
      },
      "all_reduce 'x'", "broadcast 'weights' (root 1, 8 fp32)");
}

TEST(CheckTest, AMessageOfAnotherLabelIsRefusedOnBothEnds) {
  ExpectRefused(
      2,
      [](Communicator& world, const at::Tensor& tensor) {
        if (world.rank() == 0) {
          world.Send(tensor, 1, Label("pipeline.activation", -1, 3));
        } else {
          world.Recv(tensor, 0, Label("pipeline.activation", -1, 4));
        }
      },
      "rank 0 calls send 'pipeline.activation mb=3'", "recv 'pipeline.activation mb=4'");
}

}  // namespace
}  // namespace orthant::testing
