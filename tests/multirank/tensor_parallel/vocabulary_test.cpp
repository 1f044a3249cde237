// The vocabulary-parallel embedding and loss, with vocabularies that the degree does not divide.
#include "orthant/tensor_parallel/vocabulary.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "support/ranks.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {
namespace {

constexpr int64_t kBatch = 2, kSequence = 6, kHidden = 8;

at::Tensor Draw(const char* name, std::vector<int64_t> shape) {
  at::Tensor t = at::empty(shape, at::kDouble);
  Initialize(WholeSpec(name, shape, {Init::Kind::kNormal, 1.0}, false), 4, t);
  return t;
}

at::Tensor Tokens(int64_t vocab) {
  return (at::arange(kBatch * kSequence) * 7 + 3).remainder(vocab).view({kBatch, kSequence});
}

struct Table {
  Table(int64_t vocab, const Communicator& group)
      : parameter(ShardedSpec("wte", {vocab, kHidden}, 0, group.size(), group.rank(),
                              {Init::Kind::kNormal, 1.0}, true)) {
    value = at::empty(parameter.spec().LocalShape(), at::kDouble);
    Initialize(parameter.spec(), 4, value);
    grad = at::full(parameter.spec().LocalShape(), 1e9, at::kDouble);
    parameter.Attach(value, grad, nullptr);
  }
  at::Tensor Valid(const at::Tensor& t) const { return t.narrow(0, 0, parameter.spec().shard_length); }
  at::Tensor Slice(const at::Tensor& whole) const {
    return whole.narrow(0, parameter.spec().shard_begin, parameter.spec().shard_length);
  }
  at::Tensor value, grad;
  Parameter parameter;
};

double MaxDiff(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == 0 ? 0.0 : (a - b).abs().max().item<double>();
}

void CheckEmbedding(Communicator& group, bool sequence, int64_t vocab) {
  Table table(vocab, group);
  const TensorContext context{&group, sequence, nullptr};
  const int64_t share = sequence ? kSequence / group.size() : kSequence,
                begin = sequence ? group.rank() * share : 0;
  const at::Tensor anchor = at::zeros({}, at::kDouble).requires_grad_(),
                   dy = Draw("dy", {kBatch, kSequence, kHidden});
  const at::Tensor y = VocabularyEmbedding(Tokens(vocab), anchor, table.parameter, context);
  torch::autograd::backward({y}, {dy.narrow(1, begin, share)});

  at::Tensor whole = Draw("wte", {vocab, kHidden}).requires_grad_();
  const at::Tensor expected = at::embedding(whole, Tokens(vocab));
  torch::autograd::backward({expected}, {dy});
  EXPECT_LT(MaxDiff(y, expected.narrow(1, begin, share)), 1e-14);
  EXPECT_LT(MaxDiff(table.Valid(table.grad), table.Slice(whole.grad())), 1e-13);
}

void CheckLoss(Communicator& group, bool sequence, int64_t vocab, int64_t block_bytes) {
  Table table(vocab, group);
  const TensorContext context{&group, sequence, nullptr};
  const int64_t share = sequence ? kSequence / group.size() : kSequence,
                begin = sequence ? group.rank() * share : 0;
  const at::Tensor x_all = Draw("x", {kBatch, kSequence, kHidden});
  at::Tensor x = x_all.narrow(1, begin, share).clone().requires_grad_();
  const at::Tensor loss = VocabularyLoss(x, Tokens(vocab), table.parameter, 0.25, context, 1.0, block_bytes);
  torch::autograd::backward({loss});

  at::Tensor W = Draw("wte", {vocab, kHidden}).requires_grad_(), X = x_all.clone().requires_grad_();
  const at::Tensor logits = at::linear(X, W);
  const at::Tensor expected =
      at::cross_entropy_loss(logits.view({-1, vocab}), Tokens(vocab).view({-1}), {}, at::Reduction::Sum) *
      0.25;
  torch::autograd::backward({expected});
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-12);
  EXPECT_LT(MaxDiff(x.grad(), X.grad().narrow(1, begin, share)), 1e-13);
  EXPECT_LT(MaxDiff(table.Valid(table.grad), table.Slice(W.grad())), 1e-13);
  const at::Tensor padding = table.grad.narrow(0, table.parameter.spec().shard_length,
                                               table.grad.size(0) - table.parameter.spec().shard_length);
  EXPECT_EQ(padding.abs().sum().item<double>(), 0.0);

  const at::Tensor shown = VocabularyLogits(x_all.select(1, 2).contiguous(), table.parameter, context);
  EXPECT_LT(MaxDiff(shown, logits.detach().select(1, 2)), 1e-13);
}

TEST(VocabularyEmbedding, MatchesTheWholeTable) {
  for (int n : {1, 2, 3}) {
    for (int64_t vocab : {12, 13}) {
      for (bool sequence : {false, true}) {
        testing::RunRanks(n, [&](Communicator& world) { CheckEmbedding(world, sequence, vocab); });
      }
    }
  }
}

TEST(VocabularyLoss, MatchesTheWholeProjection) {
  for (int n : {1, 2, 3}) {
    for (int64_t vocab : {12, 13}) {
      for (bool sequence : {false, true}) {
        for (int64_t block :
             {int64_t{1}, int64_t{300}, int64_t{1} << 20}) {  // one row, a few rows, all rows a block
          testing::RunRanks(n, [&](Communicator& world) { CheckLoss(world, sequence, vocab, block); });
        }
      }
    }
  }
}

// 4 ranks, 5 classes: shards of 2, 2, 1 and none.
TEST(VocabularyLoss, AShardMayBeAllPadding) {
  testing::RunRanks(4, [](Communicator& world) {
    CheckLoss(world, false, 5, 1 << 20);
    CheckEmbedding(world, false, 5);
  });
}

}  // namespace
}  // namespace orthant
