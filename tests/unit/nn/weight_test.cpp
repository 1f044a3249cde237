// A weight in tiles against the same weight whole.
#include "orthant/nn/weight.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "ATen/ATen.h"
#include "orthant/nn/matmul.h"
#include "support/owned_parameter.h"

namespace orthant {
namespace {

using testing::OwnedParameter;

double MaxDiff(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// Gives one tile its memory when it is read and takes it back when that is told: what is read later is NaN.
class TileOwner : public ParameterOwner {
 public:
  TileOwner(ParameterSpec spec, const at::Tensor& rows, std::vector<int>* present)
      : rows_(rows), value_(at::full_like(rows, NAN)), present_(present), parameter_(std::move(spec)) {
    parameter_.Attach(value_, at::full_like(rows, 1e4), this);
    values_present_ = false;
  }
  void NeedValues() override {
    value_.copy_(rows_);
    values_present_ = true;
    present_->push_back(1 + (present_->empty() ? 0 : present_->back()));
  }
  void NeedGradients() override {}
  void DoneReading() override {
    value_.fill_(NAN);
    values_present_ = false;
    present_->push_back(present_->back() - 1);
  }
  void ContributionDone() override { ++contributions; }

  Parameter& parameter() { return parameter_; }
  int contributions = 0;

 private:
  at::Tensor rows_, value_;
  std::vector<int>* present_;  // how many tiles had memory, after each change
  Parameter parameter_;
};

struct Tiled {
  // `shape`: of the weight; tiles of `together` rows.
  Tiled(const std::vector<int64_t>& shape, int64_t together) {
    spec = WholeSpec("w", shape, {}, true);
    value = at::randn(shape, at::kDouble);
    const at::Tensor flat = value.view({-1, shape.back()});
    std::vector<Parameter*> parameters;
    for (int64_t begin = 0; begin < flat.size(0); begin += together) {
      ParameterSpec tile = spec;
      tile.row_begin = begin;
      tile.rows = std::min(together, flat.size(0) - begin);
      owners.push_back(std::make_unique<TileOwner>(tile, flat.narrow(0, begin, tile.rows), &present));
      parameters.push_back(&owners.back()->parameter());
    }
    weight = Weight(parameters);
  }
  at::Tensor Grad() const {
    std::vector<at::Tensor> parts;
    for (const auto& owner : owners) parts.push_back(owner->parameter().grad());
    return at::cat(parts).view(spec.shape);
  }
  void ExpectOneAtATime(size_t reads) const {
    EXPECT_EQ(present.size(), 2 * reads);
    for (size_t i = 0; i < present.size(); ++i) EXPECT_EQ(present[i], i % 2 == 0 ? 1 : 0) << i;
  }

  ParameterSpec spec;
  at::Tensor value;
  std::vector<int> present;
  std::vector<std::unique_ptr<TileOwner>> owners;
  Weight weight;
};

class TiledWeight : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { at::manual_seed(3); }
};

TEST_P(TiledWeight, GivesWhatTheWholeGives) {
  Tiled tiled({3, 4, 6}, GetParam());  // 12 rows, across the first dim
  const at::Tensor x = at::randn({2, 5, 6}, at::kDouble), bias = at::randn({3, 4}, at::kDouble);
  const at::Tensor dy = at::randn({2, 5, 12}, at::kDouble), flat = tiled.value.view({12, 6});
  const size_t tiles = tiled.owners.size();

  EXPECT_LT(MaxDiff(LinearForward(x, tiled.weight, bias), at::linear(x, flat, bias.view({-1}))), 1e-13);
  tiled.ExpectOneAtATime(tiled.weight.tiled() ? tiles : 0);
  tiled.present.clear();
  EXPECT_LT(MaxDiff(LinearForward(x, tiled.weight, at::Tensor()), at::linear(x, flat)), 1e-13);
  tiled.present.clear();
  EXPECT_LT(MaxDiff(LinearBackwardInput(dy, tiled.weight), dy.matmul(flat)), 1e-13);
  tiled.ExpectOneAtATime(tiles);

  OwnedParameter b({3, 4});
  const at::Tensor dw = dy.view({-1, 12}).t().mm(x.view({-1, 6})).view({3, 4, 6});
  LinearBackwardWeight(dy, x, tiled.weight, &b.parameter);
  EXPECT_LT(MaxDiff(tiled.Grad(), dw), 1e-13) << "the first contribution overwrites";
  LinearBackwardWeight(dy, x, tiled.weight, &b.parameter);
  EXPECT_LT(MaxDiff(tiled.Grad(), 2 * dw), 1e-12) << "the second adds";
  EXPECT_LT(MaxDiff(b.grad.view({-1}), 2 * dy.view({-1, 12}).sum(0)), 1e-12);
  for (const auto& owner : tiled.owners)
    EXPECT_EQ(owner->contributions, 2) << "each tile is told of each use";
}

// One row a tile; tiles across q, k and v; an uneven last one; two.
INSTANTIATE_TEST_SUITE_P(Rows, TiledWeight, ::testing::Values(1, 3, 5, 6, 11));

TEST(Weight, AWholeOneIsNotReleasedByTheProducts) {
  Tiled whole({4, 6}, 4);
  EXPECT_FALSE(whole.weight.tiled());
  const at::Tensor x = at::randn({5, 6}, at::kDouble);
  EXPECT_LT(MaxDiff(LinearForward(x, whole.weight, at::Tensor()), x.mm(whole.value.t())), 1e-13);
  EXPECT_EQ(whole.present, std::vector<int>{1}) << "its layer gives it back after the block";
}

TEST(Weight, GoesThroughAnAutogradContext) {
  Tiled tiled({4, 6}, 1);
  torch::autograd::AutogradContext context;
  tiled.weight.Save(context, "weight");
  EXPECT_EQ(Weight::Load(context, "weight").tiles(), tiled.weight.tiles());
}

}  // namespace
}  // namespace orthant
