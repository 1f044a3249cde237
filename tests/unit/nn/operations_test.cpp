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
#include "torch/csrc/autograd/autograd.h"

namespace orthant {
namespace {

class OwnedParameter {
 public:
  OwnedParameter(std::vector<int64_t> shape, int microbatches) : parameter(WholeSpec("p", shape, {}, true)) {
    value = at::randn(shape, at::kDouble);
    grad = at::full(shape, 1e9, at::kDouble);  // must be overwritten by the first contribution
    parameter.Attach(value, grad, [this] { ++ready; });
    parameter.BeginStep(microbatches);
  }
  at::Tensor value, grad;
  int ready = 0;
  Parameter parameter;
};

double MaxDiff(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(Parameter, OverwritesThenAddsAndTellsWhenReady) {
  OwnedParameter w({3, 4}, 2), b({3}, 2);
  const at::Tensor x = at::randn({5, 4}, at::kDouble), dy = at::randn({5, 3}, at::kDouble);
  LinearBackwardWeight(dy, x, w.parameter, &b.parameter);
  EXPECT_EQ(w.ready, 0);
  LinearBackwardWeight(dy, x, w.parameter, &b.parameter);
  EXPECT_EQ(w.ready, 1);
  EXPECT_LT(MaxDiff(w.grad, 2 * dy.t().mm(x)), 1e-12);
  EXPECT_LT(MaxDiff(b.grad, 2 * dy.sum(0)), 1e-12);
}

TEST(LayerNorm, MatchesAutograd) {
  OwnedParameter weight({6}, 1), bias({6}, 1);
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
  OwnedParameter table({7, 5}, 1);
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
  OwnedParameter table({8, 4}, 1);
  const at::Tensor x = at::randn({2, 3, 4}, at::kDouble).requires_grad_(),
                   dy = at::randn({2, 3, 4}, at::kDouble);
  const at::Tensor y = AddPositions(x, table.parameter, 2);
  torch::autograd::backward({y}, {dy});
  EXPECT_TRUE(at::equal(y, x + table.value.narrow(0, 2, 3)));
  EXPECT_TRUE(at::equal(x.grad(), dy));
  EXPECT_LT(MaxDiff(table.grad.narrow(0, 2, 3), dy.sum(0)), 1e-13);
  EXPECT_EQ(table.grad.narrow(0, 0, 2).abs().sum().item<double>(), 0.0);
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
