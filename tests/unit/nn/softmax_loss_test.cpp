#include "orthant/nn/softmax_loss.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"

namespace orthant {
namespace {

// Loss and gradient by the three kernels on one shard.
std::pair<at::Tensor, at::Tensor> ByKernels(const at::Tensor& logits, const at::Tensor& targets,
                                            int64_t valid, double scale) {
  const VocabShard shard{0, valid};
  const at::Tensor block = logits.clone();
  const at::Tensor maxima = RowMaxima(block, shard);
  const at::Tensor sums = ExponentiateRows(block, maxima, targets, shard);
  GradientRows(block, sums[0], targets, shard, scale);
  return {(sums[0].log() - sums[1]) * scale, block};
}

void ExpectMatchesAten(at::ScalarType dtype, int64_t rows, int64_t classes, double tolerance) {
  at::manual_seed(7);
  const at::Tensor logits = at::randn({rows, classes}, dtype) * 8;
  const at::Tensor targets = at::randint(classes, {rows}, at::kLong);
  const at::Tensor logp = at::log_softmax(logits.to(at::kDouble), 1);
  const at::Tensor loss = -logp.gather(1, targets.unsqueeze(1)).squeeze(1) * 0.5;
  const at::Tensor grad = (logp.exp() - at::one_hot(targets, classes)) * 0.5;
  const auto [ours, our_grad] = ByKernels(logits, targets, classes, 0.5);
  EXPECT_LT((ours.to(at::kDouble) - loss).abs().max().item<double>(), tolerance);
  EXPECT_LT((our_grad.to(at::kDouble) - grad).abs().max().item<double>(), tolerance);
}

TEST(SoftmaxLoss, MatchesAtenInDouble) {
  for (int64_t classes : {1, 2, 15, 16, 17, 65, 1000}) ExpectMatchesAten(at::kDouble, 9, classes, 1e-13);
}

TEST(SoftmaxLoss, MatchesAtenInFloat) {
  for (int64_t classes : {1, 2, 15, 16, 17, 65, 5000}) ExpectMatchesAten(at::kFloat, 9, classes, 3e-6);
}

TEST(SoftmaxLoss, PaddedClassesTakeNoPart) {
  const at::Tensor logits = at::randn({5, 13}, at::kDouble);
  at::Tensor padded = at::full({5, 16}, 1e6, at::kDouble);  // would win any softmax
  padded.narrow(1, 0, 13).copy_(logits);
  const at::Tensor targets = at::randint(13, {5}, at::kLong);
  const auto [loss, grad] = ByKernels(logits, targets, 13, 1.0);
  const auto [padded_loss, padded_grad] = ByKernels(padded, targets, 13, 1.0);
  EXPECT_TRUE(at::equal(loss, padded_loss));
  EXPECT_TRUE(at::equal(grad, padded_grad.narrow(1, 0, 13)));
  EXPECT_TRUE(at::equal(padded_grad.narrow(1, 13, 3), at::zeros({5, 3}, at::kDouble)));
}

TEST(SoftmaxLoss, TwoShardsMakeTheWhole) {
  const at::Tensor logits = at::randn({6, 10}, at::kDouble), targets = at::randint(10, {6}, at::kLong);
  const auto [loss, grad] = ByKernels(logits, targets, 10, 1.0);
  const at::Tensor a = logits.narrow(1, 0, 4).clone(), b = logits.narrow(1, 4, 6).clone();
  const VocabShard left{0, 4}, right{4, 6};
  const at::Tensor maxima = at::maximum(RowMaxima(a, left), RowMaxima(b, right));
  const at::Tensor sums =
      ExponentiateRows(a, maxima, targets, left) + ExponentiateRows(b, maxima, targets, right);
  GradientRows(a, sums[0], targets, left, 1.0);
  GradientRows(b, sums[0], targets, right, 1.0);
  EXPECT_LT(((sums[0].log() - sums[1]) - loss).abs().max().item<double>(), 1e-14);
  EXPECT_LT((at::cat({a, b}, 1) - grad).abs().max().item<double>(), 1e-14);
}

TEST(SoftmaxLoss, AnEmptyShardHasNoMaximum) {
  const at::Tensor logits = at::zeros({2, 3}, at::kFloat);
  EXPECT_EQ(RowMaxima(logits, {10, 0}).max().item<float>(), std::numeric_limits<float>::lowest());
}

}  // namespace
}  // namespace orthant
