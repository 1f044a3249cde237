#include "orthant/data_parallel/sharded_unit.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "orthant/comm/local.h"
#include "orthant/optim/adamw.h"
#include "orthant/optim/gradient_norm.h"
#include "support/ranks.h"

namespace orthant {
namespace {

const Init kNormal{Init::Kind::kNormal, 0.5};

std::vector<ParameterSpec> Specs() {
  return {WholeSpec("norm", {7}, kNormal, false), WholeSpec("w", {5, 7}, kNormal, true),
          WholeSpec("b", {5}, kNormal, false)};
}

// Contributes rank-dependent gradients to every parameter, in `microbatches` parts.
void Contribute(ShardedUnit& unit, int rank, int microbatches) {
  for (int m = 0; m < microbatches; ++m) {
    for (const auto& p : unit.parameters()) {
      const at::Tensor part = p->value() * (rank + 1) + m;
      if (p->AddsToGrad()) {
        p->grad().add_(part);
      } else {
        p->grad().copy_(part);
      }
      p->ContributionDone();
    }
  }
}

struct Alone {
  LocalWorld world{1};
  std::unique_ptr<Communicator> group = world.Connect(0);
};

void CheckStage(Communicator& group, int stage) {
  Alone alone;
  UnitOptions options{
      .dtype = at::kDouble, .seed = 5, .zero_stage = stage, .data = &group, .tensor = alone.group.get()};
  ShardedUnit unit("u", Specs(), options);
  std::vector<at::Tensor> initial;
  for (const auto& p : unit.parameters()) initial.push_back(p->value().clone());
  for (int64_t step = 1; step <= 2; ++step) {
    unit.BeginStep(2);
    std::vector<at::Tensor> before;
    for (const auto& p : unit.parameters()) before.push_back(p->value().clone());
    Contribute(unit, group.rank(), 2);
    unit.FinishReduce();
    const int n = group.size();
    unit.GatherGradients();
    for (size_t i = 0; i < before.size(); ++i) {  // sum over ranks of 2 (r + 1) value + 1
      const at::Tensor expected = before[i] * (n * (n + 1)) + n;
      EXPECT_LT((unit.parameters()[i]->grad() - expected).abs().max().item<double>(), 1e-11);
    }
    unit.values().add_(unit.gradients(), -0.01);
    unit.StartGather();
    unit.FinishGather();
    for (size_t i = 0; i < before.size(); ++i) {
      const at::Tensor expected = before[i] - 0.01 * (before[i] * (n * (n + 1)) + n);
      EXPECT_LT((unit.parameters()[i]->value() - expected).abs().max().item<double>(), 1e-12);
    }
  }
}

TEST(ShardedUnit, SumsGradientsAndSharesUpdatesAtEveryStage) {
  for (int n : {1, 2, 3, 4}) {
    for (int stage : {0, 1}) testing::RunRanks(n, [stage](Communicator& world) { CheckStage(world, stage); });
  }
}

TEST(ShardedUnit, SegmentsCoverEveryElementOnceAndDecayMatricesOnly) {
  testing::RunRanks(3, [](Communicator& world) {
    Alone alone;
    UnitOptions options{
        .dtype = at::kDouble, .seed = 5, .zero_stage = 1, .data = &world, .tensor = alone.group.get()};
    ShardedUnit unit("u", Specs(), options);
    int64_t covered = 0;
    double decayed = 0.0;
    for (const Segment& s : unit.segments()) {
      covered += s.end - s.begin;
      if (s.decay) decayed += SumOfSquares(unit.values().narrow(0, s.begin, s.end - s.begin));
    }
    EXPECT_EQ(covered, unit.elements() / world.size());
    at::Tensor sum = at::full({1}, decayed, at::kDouble);
    world.AllReduce(sum, ReduceOp::kSum, "test");
    EXPECT_NEAR(sum.item<double>(), unit.Find("w")->value().square().sum().item<double>(), 1e-12);
  });
}

TEST(ShardedUnit, AHeldUnitWaitsForRelease) {
  testing::RunRanks(2, [](Communicator& world) {
    Alone alone;
    UnitOptions options{
        .dtype = at::kDouble, .seed = 5, .zero_stage = 0, .data = &world, .tensor = alone.group.get()};
    ShardedUnit unit("u", {WholeSpec("w", {4}, kNormal, true)}, options);
    unit.Hold();
    unit.BeginStep(1);
    Contribute(unit, 0, 1);
    const at::Tensor own = unit.Find("w")->grad().clone();
    EXPECT_THROW(ShardedUnit("v", {WholeSpec("w", {4}, kNormal, true)}, options).Release(), c10::Error);
    unit.Find("w")->grad().mul_(3.0);  // as the sum over the tied pair would
    unit.Release();
    unit.FinishReduce();
    EXPECT_LT((unit.Find("w")->grad() - own * 6.0).abs().max().item<double>(), 1e-12);
  });
}

TEST(ShardedUnit, FinishingTooEarlyIsAnError) {
  testing::RunRanks(1, [](Communicator& world) {
    UnitOptions options{.dtype = at::kDouble, .data = &world, .tensor = &world};
    ShardedUnit unit("u", Specs(), options);
    unit.BeginStep(1);
    EXPECT_THROW(unit.FinishReduce(), c10::Error);
  });
}

}  // namespace
}  // namespace orthant
