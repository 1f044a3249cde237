// A unit at every ZeRO stage, hybrid or not, against plain sums over the ranks.
#include "orthant/data_parallel/sharded_unit.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "orthant/comm/local.h"
#include "orthant/optim/gradient_norm.h"
#include "support/ranks.h"

namespace orthant {
namespace {

const Init kNormal{Init::Kind::kNormal, 0.5};

std::vector<ParameterSpec> Specs() {
  return {WholeSpec("norm", {7}, kNormal, false), WholeSpec("w", {5, 7}, kNormal, true),
          WholeSpec("b", {5}, kNormal, false)};
}

// Contributes to every parameter as an operation does: `sign` x (value x (rank + 1) + microbatch).
void Contribute(ShardedUnit& unit, int rank, int microbatch) {
  for (const auto& p : unit.parameters()) {
    const at::Tensor part = (p->value() * (rank + 1) + microbatch).to(p->grad().scalar_type());
    if (p->AddsToGrad()) {
      p->grad().add_(part);
    } else {
      p->grad().copy_(part);
    }
    p->ContributionDone();
  }
}

// The groups of one rank under hybrid sharding, `shards` ranks together.
struct Split {
  Split(Communicator& group, int stage, int shards) {
    if (stage == 0) {
      options.replica = &group;
      return;
    }
    std::vector<int> together, alike;
    for (int r = 0; r < group.size(); ++r) {
      if (r / shards == group.rank() / shards) together.push_back(r);
      if (r % shards == group.rank() % shards) alike.push_back(r);
    }
    shard = group.Subgroup(together, "shard");
    replica = group.Subgroup(alike, "replica");
    options.shard = shard.get();
    options.replica = replica.get();
  }
  std::unique_ptr<Communicator> shard, replica;
  UnitQueue queue{1 << 20};
  UnitOptions options;
};

std::vector<at::Tensor> Values(const ShardedUnit& unit) {
  std::vector<at::Tensor> values;
  for (const auto& p : unit.parameters()) values.push_back(p->value().clone());
  return values;
}

void CheckStage(Communicator& group, int stage, int shards, bool release) {
  Split split(group, stage, shards);
  UnitOptions options = split.options;
  options.dtype = options.gradient_dtype = options.reduce_dtype = at::kDouble;
  options.seed = 5;
  options.zero_stage = stage;
  options.release_after_forward = release;
  options.queue = &split.queue;
  ShardedUnit unit("u", Specs(), options);
  const int n = group.size();
  for (int64_t step = 1; step <= 2; ++step) {
    const std::vector<at::Tensor> before = Values(unit);
    unit.BeginStep(3);
    for (int m = 0; m < 3; ++m) {
      Contribute(unit, group.rank(), m);
      EXPECT_EQ(unit.values_present(), stage < 3 || (!release && m < 2)) << "stage " << stage;
      EXPECT_EQ(unit.gradients_present(), stage < 2) << "stage " << stage;
    }
    unit.FinishReduce();
    unit.GatherGradients();
    for (size_t i = 0; i < before.size(); ++i) {  // sum over ranks and microbatches of (r + 1) value + m
      const at::Tensor expected = before[i] * (3.0 * n * (n + 1) / 2) + 3 * n;
      EXPECT_LT((unit.parameters()[i]->grad() - expected).abs().max().item<double>(), 1e-11)
          << "stage " << stage;
    }
    unit.OpenValues().add_(unit.gradients(), -0.01);
    unit.CloseValues(true);
    unit.StartShare();
    unit.FinishShare();
    for (size_t i = 0; i < before.size(); ++i) {
      const at::Tensor expected = before[i] - 0.01 * (before[i] * (3.0 * n * (n + 1) / 2) + 3 * n);
      EXPECT_LT((unit.parameters()[i]->value() - expected).abs().max().item<double>(), 1e-12)
          << "stage " << stage;
    }
    unit.ReleaseValues();
  }
}

TEST(ShardedUnit, SumsGradientsAndSharesUpdatesAtEveryStage) {
  for (int n : {1, 2, 3, 4}) {
    for (int stage : {0, 1, 2, 3}) {
      testing::RunRanks(n, [=](Communicator& world) { CheckStage(world, stage, n, true); });
    }
  }
}

TEST(ShardedUnit, HybridShardsSumOverReplicas) {
  for (int shards : {1, 2}) {
    for (int stage : {1, 2, 3}) {
      testing::RunRanks(4, [=](Communicator& world) { CheckStage(world, stage, shards, true); });
    }
  }
}

TEST(ShardedUnit, GatheredValuesStayUntilTheLastMicrobatchWhenAsked) {
  testing::RunRanks(2, [](Communicator& world) { CheckStage(world, 3, 2, false); });
}

TEST(ShardedUnit, SixteenBitValuesHaveMastersAndGradientsOfTheAskedType) {
  testing::RunRanks(2, [](Communicator& world) {
    for (at::ScalarType gradient : {at::kFloat, at::kBFloat16}) {
      for (at::ScalarType reduce : {at::kFloat, at::kBFloat16}) {
        for (int stage : {0, 1, 2, 3}) {
          Split split(world, stage, 2);
          UnitOptions options = split.options;
          options.dtype = at::kBFloat16;
          options.gradient_dtype = gradient;
          options.reduce_dtype = reduce;
          options.zero_stage = stage;
          options.queue = &split.queue;
          ShardedUnit unit("u", Specs(), options);
          const at::Tensor master = unit.TakeMaster();
          ASSERT_EQ(master.scalar_type(), at::kFloat);
          EXPECT_TRUE(at::equal(master.to(at::kBFloat16), unit.OpenValues()));
          EXPECT_FALSE(at::equal(master, unit.OpenValues().to(at::kFloat)));  // drawn in fp32, not rounded
          unit.CloseValues(false);
          const std::vector<at::Tensor> values = Values(unit);
          unit.BeginStep(2);
          for (int m = 0; m < 2; ++m) Contribute(unit, world.rank(), m);
          unit.FinishReduce();
          unit.GatherGradients();
          for (size_t i = 0; i < values.size(); ++i) {
            const at::Tensor grad = unit.parameters()[i]->grad();
            EXPECT_EQ(grad.scalar_type(), gradient);
            const at::Tensor expected = values[i].to(at::kFloat) * 6 + 2;
            // Four summands of up to 3 x 2 + 1, each sum rounded to 8 bits.
            EXPECT_LT((grad.to(at::kFloat) - expected).abs().max().item<double>(), 16.0 / 256 * 2);
          }
        }
      }
    }
  });
}

TEST(ShardedUnit, SegmentsCoverEveryElementOnceAndDecayMatricesOnly) {
  testing::RunRanks(3, [](Communicator& world) {
    UnitOptions options{.dtype = at::kDouble, .seed = 5, .zero_stage = 1, .shard = &world};
    ShardedUnit unit("u", Specs(), options);
    int64_t covered = 0;
    double decayed = 0.0;
    for (const Segment& s : unit.segments()) {
      covered += s.end - s.begin;
      if (s.decay) decayed += SumOfSquares(unit.OpenValues().narrow(0, s.begin, s.end - s.begin));
    }
    EXPECT_EQ(covered, unit.elements() / world.size());
    at::Tensor sum = at::full({1}, decayed, at::kDouble);
    world.AllReduce(sum, ReduceOp::kSum, "test");
    EXPECT_NEAR(sum.item<double>(), unit.Find("w")->value().square().sum().item<double>(), 1e-12);
  });
}

TEST(ShardedUnit, TiedUnitsSumTheirShards) {
  // Ranks 0 and 2, 1 and 3 are the ends of two pipelines; {0, 1} and {2, 3} share shards.
  testing::RunRanks(4, [](Communicator& world) {
    const bool last = world.rank() >= 2;
    auto shard = world.Subgroup(last ? std::vector<int>{2, 3} : std::vector<int>{0, 1}, "shard");
    auto pair = world.Subgroup({world.rank() % 2, world.rank() % 2 + 2}, "pair");
    for (int stage : {1, 2, 3}) {
      UnitQueue queue;
      UnitOptions options{.dtype = at::kDouble,
                          .gradient_dtype = at::kDouble,
                          .reduce_dtype = at::kDouble,
                          .zero_stage = stage,
                          .shard = shard.get(),
                          .queue = &queue};
      ShardedUnit unit("u", {WholeSpec("w", {5, 3}, kNormal, true)}, options);
      unit.TieTo(pair.get());
      const at::Tensor value = unit.Find("w")->value().clone();
      unit.BeginStep(1);
      Contribute(unit, world.rank(), 0);
      unit.FinishReduce();
      unit.GatherGradients();
      EXPECT_LT((unit.Find("w")->grad() - value * 10.0).abs().max().item<double>(), 1e-12);  // 1 + 2 + 3 + 4
    }
  });
}

TEST(ShardedUnit, AContributionThatRanAheadIsReducedOnceAndPaddingStaysZero) {
  // As the loss under gpipe: the gradients of all microbatches are added before the first is told to be
  // complete.
  testing::RunRanks(2, [](Communicator& world) {
    UnitQueue queue;
    UnitOptions options{.dtype = at::kDouble,
                        .gradient_dtype = at::kDouble,
                        .reduce_dtype = at::kDouble,
                        .zero_stage = 2,
                        .shard = &world,
                        .queue = &queue};
    ShardedUnit unit("u", Specs(), options);
    unit.BeginStep(2);
    Parameter& w = *unit.Find("w");
    for (int m = 0; m < 2; ++m) w.AddsToGrad() ? w.grad().add_(1.0) : w.grad().fill_(1.0);
    for (int m = 0; m < 2; ++m) {
      w.ContributionDone();
      for (const char* name : {"norm", "b"}) {
        Parameter& p = *unit.Find(name);
        p.AddsToGrad() ? p.grad().add_(1.0) : p.grad().fill_(1.0);
        p.ContributionDone();
      }
    }
    unit.FinishReduce();
    unit.GatherGradients();
    double sum = 0.0;
    for (const auto& p : unit.parameters()) {
      EXPECT_TRUE(p->grad().eq(4.0).all().item<bool>()) << p->spec().name;
      sum += p->grad().sum().item<double>();
    }
    at::Tensor all = unit.gradients().sum().view({1});
    world.AllReduce(all, ReduceOp::kSum, "test");
    EXPECT_EQ(all.item<double>(), sum);  // nothing between the parameters
  });
}

TEST(ShardedUnit, MixedUpContributionsAreErrors) {
  testing::RunRanks(1, [](Communicator& world) {
    UnitOptions options{.dtype = at::kFloat};
    ShardedUnit unit("u", Specs(), options);
    unit.BeginStep(1);
    EXPECT_THROW(unit.FinishReduce(), c10::Error);
    Contribute(unit, 0, 0);
    EXPECT_THROW(unit.Find("w")->ContributionDone(), c10::Error);
  });
}

TEST(MakeUnits, SplitsAtTheBucketSizeAndKeepsEveryParameter) {
  UnitOptions options{.dtype = at::kFloat, .bucket_bytes = 4 * 40};
  const auto units = MakeUnits("block", Specs(), options);  // 7, 35, 5 elements
  ASSERT_EQ(units.size(), 2u);
  EXPECT_EQ(units[0]->name(), "block/0");
  EXPECT_NE(units[0]->Find("norm"), nullptr);
  EXPECT_NE(units[1]->Find("w"), nullptr);
  EXPECT_NE(units[1]->Find("b"), nullptr);
  options.bucket_bytes = 0;
  EXPECT_EQ(MakeUnits("block", Specs(), options).front()->name(), "block");
}

}  // namespace
}  // namespace orthant
