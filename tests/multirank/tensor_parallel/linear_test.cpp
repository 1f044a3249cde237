// Column and row layers on n ranks against the same layers whole on one.
#include "orthant/tensor_parallel/linear.h"

#include <gtest/gtest.h>

#include <memory>

#include "ATen/ATen.h"
#include "support/ranks.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {
namespace {

constexpr int64_t kBatch = 2, kSequence = 12, kHidden = 24, kWide = 48;

at::Tensor Draw(at::IntArrayRef shape, uint64_t seed) {
  at::Tensor t = at::empty(shape, at::kDouble);
  Initialize(WholeSpec("t", shape.vec(), {Init::Kind::kNormal, 1.0}, false), seed, t);
  return t;
}

std::unique_ptr<Parameter> Make(ParameterSpec spec) {
  auto p = std::make_unique<Parameter>(std::move(spec));
  const std::vector<int64_t> shape = p->spec().LocalShape();
  at::Tensor value = at::empty(shape, at::kDouble);
  Initialize(p->spec(), 3, value);
  p->Attach(value, at::full(shape, 1e9, at::kDouble), nullptr);
  return p;
}

double MaxDiff(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// gelu(x W1^T + b1) W2^T + b2, as an MLP does.
void CheckMlp(Communicator& group, bool sequence) {
  const int t = group.size(), r = group.rank();
  const Init normal{Init::Kind::kNormal, 0.3};
  auto w1 = Make(ShardedSpec("w1", {kWide, kHidden}, 0, t, r, normal, true));
  auto b1 = Make(ShardedSpec("b1", {kWide}, 0, t, r, normal, false));
  auto w2 = Make(ShardedSpec("w2", {kHidden, kWide}, 1, t, r, normal, true));
  auto b2 = Make(WholeSpec("b2", {kHidden}, normal, false));
  const TensorContext context{&group, sequence, nullptr};
  const int64_t share = sequence ? kSequence / t : kSequence, begin = sequence ? r * share : 0;

  const at::Tensor x_all = Draw({kBatch, kSequence, kHidden}, 5),
                   dy_all = Draw({kBatch, kSequence, kHidden}, 6);
  at::Tensor x = x_all.narrow(1, begin, share).clone().requires_grad_();
  const at::Tensor hidden = at::gelu(ColumnLinear(x, *w1, b1.get(), context, "test.column", 0));
  const at::Tensor y = RowLinear(hidden, *w2, b2.get(), context, "test.row", 0);
  torch::autograd::backward({y}, {dy_all.narrow(1, begin, share)});

  // The whole layers, by LibTorch.
  const auto whole = [&](const char* name, std::vector<int64_t> shape) {
    at::Tensor v = at::empty(shape, at::kDouble);
    Initialize(WholeSpec(name, shape, normal, true), 3, v);
    return v.requires_grad_();
  };
  at::Tensor W1 = whole("w1", {kWide, kHidden}), B1 = whole("b1", {kWide});
  at::Tensor W2 = whole("w2", {kHidden, kWide}), B2 = whole("b2", {kHidden});
  at::Tensor X = x_all.clone().requires_grad_();
  const at::Tensor Y = at::linear(at::gelu(at::linear(X, W1, B1)), W2, B2);
  torch::autograd::backward({Y}, {dy_all});

  EXPECT_LT(MaxDiff(y, Y.narrow(1, begin, share)), 1e-12);
  EXPECT_LT(MaxDiff(x.grad(), X.grad().narrow(1, begin, share)), 1e-12);
  const int64_t wide = kWide / t;
  EXPECT_LT(MaxDiff(w1->grad(), W1.grad().narrow(0, r * wide, wide)), 1e-11);
  EXPECT_LT(MaxDiff(b1->grad(), B1.grad().narrow(0, r * wide, wide)), 1e-11);
  EXPECT_LT(MaxDiff(w2->grad(), W2.grad().narrow(1, r * wide, wide)), 1e-11);
  // Whole parameters: with sharded tokens each rank holds a summand.
  if (sequence) group.AllReduce(b2->grad(), ReduceOp::kSum, "test.bias");
  EXPECT_LT(MaxDiff(b2->grad(), B2.grad()), 1e-11);
}

TEST(TensorLinear, MatchesTheWholeLayers) {
  for (int n : {1, 2, 3, 4}) {
    testing::RunRanks(n, [](Communicator& world) { CheckMlp(world, false); });
  }
}

TEST(TensorLinear, MatchesWithTheSequenceSharded) {
  for (int n : {1, 2, 3, 4}) {
    testing::RunRanks(n, [](Communicator& world) { CheckMlp(world, true); });
  }
}

TEST(TensorSequence, GatherAndReduceScatterAreDual) {
  testing::RunRanks(2, [](Communicator& world) {
    const at::Tensor whole = Draw({3, 4, 5}, 9);
    const at::Tensor mine = whole.narrow(1, world.rank() * 2, 2).contiguous();
    EXPECT_TRUE(at::equal(GatherSequence(mine, world, "test"), whole));
    EXPECT_LT(MaxDiff(ReduceScatterSequence(whole, world, "test"), 2 * mine), 1e-14);
  });
}

}  // namespace
}  // namespace orthant
