// Each operation against LibTorch's own autograd: values, input gradients and parameter gradients.
#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "orthant/core/philox.h"
#include "orthant/nn/dropout.h"
#include "orthant/nn/embedding.h"
#include "orthant/nn/layer_norm.h"
#include "orthant/nn/matmul.h"
#include "orthant/nn/parameter.h"
#include "orthant/nn/position_embedding.h"
#include "support/owned_parameter.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {
namespace {

using testing::OwnedParameter;

double MaxDiff(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(Parameter, OverwritesThenAddsAndTellsOfEachContribution) {
  OwnedParameter w({3, 4}), b({3});
  const at::Tensor x = at::randn({5, 4}, at::kDouble), dy = at::randn({5, 3}, at::kDouble);
  LinearBackwardWeight(dy, x, w.parameter, &b.parameter);
  EXPECT_EQ(w.contributions, 1);
  LinearBackwardWeight(dy, x, w.parameter, &b.parameter);
  EXPECT_EQ(w.contributions, 2);
  EXPECT_LT(MaxDiff(w.grad, 2 * dy.t().mm(x)), 1e-12);
  EXPECT_LT(MaxDiff(b.grad, 2 * dy.sum(0)), 1e-12);
}

TEST(LayerNorm, MatchesAutograd) {
  OwnedParameter weight({6}), bias({6});
  const at::Tensor x = at::randn({2, 3, 6}, at::kDouble), dy = at::randn({2, 3, 6}, at::kDouble);
  const at::Tensor x1 = x.clone().requires_grad_(), x2 = x.clone().requires_grad_();
  const at::Tensor w2 = weight.value.clone().requires_grad_(), b2 = bias.value.clone().requires_grad_();
  const at::Tensor y1 = LayerNorm(x1, weight.parameter, &bias.parameter, 1e-5);
  const at::Tensor y2 = at::layer_norm(x2, {6}, w2, b2, 1e-5);
  torch::autograd::backward({y1}, {dy});
  torch::autograd::backward({y2}, {dy});
  EXPECT_LT(MaxDiff(y1, y2), 1e-13);
  EXPECT_LT(MaxDiff(x1.grad(), x2.grad()), 1e-13);
  EXPECT_LT(MaxDiff(weight.grad, w2.grad()), 1e-13);
  EXPECT_LT(MaxDiff(bias.grad, b2.grad()), 1e-13);
}

TEST(Embedding, LooksUpAndScatters) {
  OwnedParameter table({7, 5});
  const at::Tensor tokens = at::randint(7, {3, 4}, at::kLong), dy = at::randn({3, 4, 5}, at::kDouble);
  const at::Tensor t2 = table.value.clone().requires_grad_();
  const at::Tensor y2 = at::embedding(t2, tokens);
  torch::autograd::backward({y2}, {dy});
  EXPECT_TRUE(at::equal(EmbeddingLookup(tokens, table.value, 0), y2));
  EmbeddingBackward(dy, tokens, table.parameter, 0);
  EXPECT_LT(MaxDiff(table.grad, t2.grad()), 1e-13);
}

TEST(Embedding, AShardAnswersForItsOwnRowsOnly) {
  const at::Tensor table = at::randn({7, 5}, at::kDouble), tokens = at::randint(7, {3, 4}, at::kLong);
  const at::Tensor sum = EmbeddingLookup(tokens, table.narrow(0, 0, 4).contiguous(), 0) +
                         EmbeddingLookup(tokens, table.narrow(0, 4, 3).contiguous(), 4);
  EXPECT_TRUE(at::equal(sum, EmbeddingLookup(tokens, table, 0)));
}

TEST(Positions, AddRowsAndSumOverTheBatch) {
  OwnedParameter table({8, 4});
  const at::Tensor x = at::randn({2, 3, 4}, at::kDouble).requires_grad_(),
                   dy = at::randn({2, 3, 4}, at::kDouble);
  const at::Tensor y = AddPositions(x, table.parameter, 2);
  torch::autograd::backward({y}, {dy});
  EXPECT_TRUE(at::equal(y, x + table.value.narrow(0, 2, 3)));
  EXPECT_TRUE(at::equal(x.grad(), dy));
  EXPECT_LT(MaxDiff(table.grad.narrow(0, 2, 3), dy.sum(0)), 1e-13);
  EXPECT_EQ(table.grad.narrow(0, 0, 2).abs().sum().item<double>(), 0.0);
}

// As a unit does whose gradient is complete: nothing may be read after ContributionDone().
TEST(Operations, ReadNothingOnceTheirContributionIsDone) {
  OwnedParameter weight({6}), bias({6}), positions({8, 6}), table({7, 6}), w({4, 6}), b({4});
  OwnedParameter* all[] = {&weight, &bias, &positions, &table, &w, &b};
  for (OwnedParameter* p : all) p->TakeBackAfter(1);
  const at::Tensor x = at::randn({2, 3, 6}, at::kDouble).requires_grad_(),
                   dy = at::randn({2, 3, 6}, at::kDouble);
  const at::Tensor y =
      AddPositions(LayerNorm(x, weight.parameter, &bias.parameter, 1e-5), positions.parameter, 1);
  torch::autograd::backward({y}, {dy});
  EmbeddingBackward(dy, at::randint(7, {2, 3}, at::kLong), table.parameter, 0);
  LinearBackwardWeight(at::randn({2, 3, 4}, at::kDouble), x.detach(), w.parameter, &b.parameter);
  EXPECT_TRUE(x.grad().isfinite().all().item<bool>());
  for (const OwnedParameter* p : all) {
    EXPECT_EQ(p->contributions, 1);
    EXPECT_TRUE(p->result.isfinite().all().item<bool>());
  }
}

TEST(Embedding, RowsAreAddedInTokenOrder) {
  // In fp32 (1 + 2^24) - 2^24 is 0 and (2^24 - 2^24) + 1 is 1: the order shows.
  const float large = 16777216.0f;
  OwnedParameter table({3, 2000}, at::kFloat);
  const at::Tensor tokens = at::tensor({1, 2, 1, 1, 2, 2}, at::kLong).view({2, 3});
  const at::Tensor dy = at::tensor({1.0f, large, large, -large, -large, 1.0f}, at::kFloat).view({2, 3, 1});
  EmbeddingBackward(dy.expand({2, 3, 2000}), tokens, table.parameter, 0);
  EXPECT_TRUE(at::equal(table.grad[0], at::zeros({2000})));
  EXPECT_TRUE(at::equal(table.grad[1], at::zeros({2000})));
  EXPECT_TRUE(at::equal(table.grad[2], at::ones({2000})));
}

TEST(Dropout, ShardsDrawWhatTheWholeDraws) {
  const int64_t heads = 4, s = 6;
  const std::vector<int64_t> rows = {3, 9};
  const DropoutKey key{1, 2, 3, DropoutSite::kAttention};
  const at::Tensor ones = at::ones({2, heads, s, s}, at::kDouble);
  DropoutWindow whole{.logical1 = s, .begin0 = 0, .count0 = heads, .begin1 = 0, .count1 = s, .count2 = s};
  const at::Tensor mask = Dropout(ones, 0.3, key, rows, whole);
  DropoutWindow part{.logical1 = s, .begin0 = 1, .count0 = 2, .begin1 = 2, .count1 = 3, .count2 = s};
  const std::vector<int64_t> second = {9};
  const at::Tensor piece = Dropout(at::ones({1, 2, 3, s}, at::kFloat), 0.3, key, second, part);
  EXPECT_TRUE(at::equal(piece.to(at::kDouble) > 0, mask.narrow(0, 1, 1).narrow(1, 1, 2).narrow(2, 2, 3) > 0));
}

TEST(Dropout, KeepsTheMeanAndScalesGradientsAlike) {
  const std::vector<int64_t> rows = {0};
  DropoutWindow window{.count0 = 200, .count2 = 500};
  const at::Tensor x = at::ones({1, 200, 500}, at::kFloat).requires_grad_();
  const at::Tensor y = Dropout(x, 0.25, {5, 6, 7, DropoutSite::kMlpOutput}, rows, window);
  EXPECT_NEAR(y.mean().item<double>(), 1.0, 0.01);
  torch::autograd::backward({y.sum()});
  EXPECT_TRUE(at::equal(x.grad(), y.detach()));
  EXPECT_TRUE(Dropout(x, 0.0, {}, rows, window).is_same(x));
}

// The mask drawn element by element, times x: what the fused kernels must equal to the last bit.
template <typename scalar_t>
void ExpectIsXTimesMask(at::ScalarType dtype) {
  const std::vector<int64_t> rows = {4, 0};
  const DropoutWindow w{.logical1 = 9, .begin0 = 2, .count0 = 3, .begin1 = 1, .count1 = 5, .count2 = 701};
  const DropoutKey key{7, 11, 3, DropoutSite::kMlpOutput};
  const double p = 0.3;
  const PhiloxKey philox =
      DeriveKey(key.seed, {0x64726f70ULL, key.step, key.layer, static_cast<uint64_t>(key.site)});
  at::Tensor mask = at::empty({2, 3, 5, 701}, at::kDouble);
  double* out = mask.data_ptr<double>();
  for (int64_t row : rows) {
    for (int64_t i0 = 2; i0 < 5; ++i0) {
      for (int64_t i = 0; i < 5 * 701; ++i) {
        const bool drop = Bits(philox, row, (i0 * 9 + 1) * 701 + i) < BernoulliThreshold(p);
        *out++ = drop ? 0.0 : static_cast<double>(static_cast<scalar_t>(1.0 / (1.0 - p)));
      }
    }
  }
  const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor x = at::randn({2, 3, 5, 701}, dtype).requires_grad_(),
                   dy = at::randn({2, 3, 5, 701}, dtype);
  const at::Tensor y = Dropout(x, p, key, rows, w);
  torch::autograd::backward({y}, {dy});
  EXPECT_TRUE(at::equal(y, (x.detach().to(wide) * mask.to(wide)).to(dtype))) << dtype;
  EXPECT_TRUE(at::equal(x.grad(), (dy.to(wide) * mask.to(wide)).to(dtype))) << dtype;
}

TEST(Dropout, IsXTimesTheMaskToTheLastBit) {
  ExpectIsXTimesMask<double>(at::kDouble);
  ExpectIsXTimesMask<float>(at::kFloat);
  ExpectIsXTimesMask<float>(at::kBFloat16);
  ExpectIsXTimesMask<float>(at::kHalf);
}

TEST(Dropout, WhatIsNotFiniteStaysSo) {
  const std::vector<int64_t> rows = {0};
  const at::Tensor x = at::full({1, 1, 64}, NAN, at::kFloat);
  const at::Tensor y = Dropout(x, 0.5, {1, 1, 1, DropoutSite::kEmbedding}, rows, {.count0 = 1, .count2 = 64});
  EXPECT_TRUE(y.isnan().all().item<bool>());
}

TEST(Initialize, AShardHoldsItsSliceOfTheWhole) {
  const Init normal{Init::Kind::kNormal, 0.02};
  const ParameterSpec whole = WholeSpec("w", {3, 10, 4}, normal, true);
  at::Tensor all = at::empty({3, 10, 4}, at::kDouble);
  Initialize(whole, 11, all);
  EXPECT_NEAR(all.std().item<double>(), 0.02, 0.005);
  for (int parts : {1, 2, 3, 4}) {
    for (int part = 0; part < parts; ++part) {
      const ParameterSpec spec = ShardedSpec("w", {3, 10, 4}, 1, parts, part, normal, true);
      at::Tensor mine = at::full(spec.LocalShape(), 5.0, at::kDouble);
      Initialize(spec, 11, mine);
      const int64_t valid = spec.shard_length;
      EXPECT_TRUE(at::equal(mine.narrow(1, 0, valid), all.narrow(1, spec.shard_begin, valid)))
          << parts << " " << part;
      EXPECT_EQ(mine.narrow(1, valid, spec.local_length - valid).abs().sum().item<double>(), 0.0);
    }
  }
}

}  // namespace
}  // namespace orthant
