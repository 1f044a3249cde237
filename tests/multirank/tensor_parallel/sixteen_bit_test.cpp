// The layers on bf16 and fp16, with gradients in the same type or fp32, against the whole layers in fp64 on
// the same (rounded) inputs.
//
// Bounds, u being the unit roundoff: 2^-8 for bf16, 2^-11 for fp16. A rounding moves each element by at most
// u of itself, hence a tensor by at most u of its Frobenius norm; a product with a random matrix passes a
// relative error on at about its size. So a result that k rounded tensors have gone into, one after another,
// is off by at most k u in the Frobenius norm, and far less on average, errors being independent. Kernels
// that summed in 16 bits, or a gradient in the wrong place, would be off by more.
#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "orthant/tensor_parallel/linear.h"
#include "orthant/tensor_parallel/vocabulary.h"
#include "support/owned_parameter.h"
#include "support/ranks.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {
namespace {

using testing::OwnedParameter;

constexpr int64_t kBatch = 2, kSequence = 24, kHidden = 48, kWide = 96;

struct Types {
  at::ScalarType value, grad;
  double u() const { return value == at::kBFloat16 ? 0x1p-8 : 0x1p-11; }
};
constexpr Types kTypes[] = {{at::kBFloat16, at::kBFloat16},
                            {at::kBFloat16, at::kFloat},
                            {at::kHalf, at::kHalf},
                            {at::kHalf, at::kFloat}};

// The same numbers on every rank.
at::Tensor Draw(const char* name, std::vector<int64_t> shape, double stddev, at::ScalarType dtype) {
  at::Tensor t = at::empty(shape, dtype);
  Initialize(WholeSpec(name, shape, {Init::Kind::kNormal, stddev}, false), 5, t);
  return t;
}

OwnedParameter Make(ParameterSpec spec, Types types) {
  at::Tensor value = at::empty(spec.LocalShape(), types.value);
  Initialize(spec, 5, value);
  return OwnedParameter(std::move(spec), value, types.grad);
}

at::Tensor Leaf(const at::Tensor& t) {
  return t.to(at::kDouble).requires_grad_(true);
}

double RelativeError(const at::Tensor& ours, const at::Tensor& exact) {
  return (ours.to(at::kDouble) - exact).norm().item<double>() / exact.norm().item<double>();
}

// gelu(x W1^T + b1) W2^T + b2. The longest ways: to y 3 roundings (hidden, its gelu, y) and the sum over
// ranks 2; to dW1 and dx: hidden, the product with W2, its gelu, the result, and the sum over ranks 2.
void CheckMlp(Communicator& group, bool sequence, Types types) {
  const int t = group.size(), r = group.rank();
  const Init normal{Init::Kind::kNormal, 0.15};
  OwnedParameter w1 = Make(ShardedSpec("w1", {kWide, kHidden}, 0, t, r, normal, true), types);
  OwnedParameter b1 = Make(ShardedSpec("b1", {kWide}, 0, t, r, normal, false), types);
  OwnedParameter w2 = Make(ShardedSpec("w2", {kHidden, kWide}, 1, t, r, normal, true), types);
  OwnedParameter b2 = Make(WholeSpec("b2", {kHidden}, normal, false), types);
  for (OwnedParameter* p : {&w1, &b1, &w2, &b2}) p->TakeBackAfter(1);
  const TensorContext context{&group, sequence, nullptr};
  const int64_t share = sequence ? kSequence / t : kSequence, begin = sequence ? r * share : 0;
  const at::Tensor x_all = Draw("x", {kBatch, kSequence, kHidden}, 1.0, types.value);
  const at::Tensor dy_all = Draw("dy", {kBatch, kSequence, kHidden}, 1.0, types.value);

  const at::Tensor x = x_all.narrow(1, begin, share).clone().requires_grad_();
  const at::Tensor hidden = at::gelu(ColumnLinear(x, w1.parameter, &b1.parameter, context, "test.column", 0));
  const at::Tensor y = RowLinear(hidden, w2.parameter, &b2.parameter, context, "test.row", 0);
  torch::autograd::backward({y}, {dy_all.narrow(1, begin, share)});
  EXPECT_EQ(y.scalar_type(), types.value);
  EXPECT_EQ(x.grad().scalar_type(), types.value);

  const auto whole = [&](const char* name, std::vector<int64_t> shape) {
    return Leaf(Draw(name, std::move(shape), 0.15, types.value));
  };
  const at::Tensor W1 = whole("w1", {kWide, kHidden}), B1 = whole("b1", {kWide});
  const at::Tensor W2 = whole("w2", {kHidden, kWide}), B2 = whole("b2", {kHidden});
  const at::Tensor X = Leaf(x_all);
  const at::Tensor Y = at::linear(at::gelu(at::linear(X, W1, B1)), W2, B2);
  torch::autograd::backward({Y}, {dy_all.to(at::kDouble)});

  const int64_t wide = kWide / t;
  const double u = types.u();
  EXPECT_LT(RelativeError(y, Y.narrow(1, begin, share)), 5 * u);
  EXPECT_LT(RelativeError(x.grad(), X.grad().narrow(1, begin, share)), 6 * u);
  EXPECT_LT(RelativeError(w1.result, W1.grad().narrow(0, r * wide, wide)), 6 * u);
  EXPECT_LT(RelativeError(b1.result, B1.grad().narrow(0, r * wide, wide)), 6 * u);
  EXPECT_LT(RelativeError(w2.result, W2.grad().narrow(1, r * wide, wide)), 4 * u);
  if (sequence) group.AllReduce(b2.result, ReduceOp::kSum, "test.bias");
  EXPECT_LT(RelativeError(b2.result, B2.grad()), 2 * u);
}

TEST(SixteenBitLinear, IsTheWholeLayersWithinRounding) {
  for (Types types : kTypes) {
    for (int n : {1, 2, 4}) {
      for (bool sequence : {false, true}) {
        testing::RunRanks(n, [&](Communicator& world) { CheckMlp(world, sequence, types); });
      }
    }
  }
}

constexpr int64_t kVocab = 50;
constexpr double kScale = 0.25;

at::Tensor Tokens() {
  return (at::arange(kBatch * kSequence) * 7 + 3).remainder(kVocab).view({kBatch, kSequence});
}

OwnedParameter Table(const Communicator& group, Types types) {
  const Init normal{Init::Kind::kNormal, 0.3};
  return Make(ShardedSpec("wte", {kVocab, kHidden}, 0, group.size(), group.rank(), normal, true), types);
}

at::Tensor Slice(const at::Tensor& whole, const OwnedParameter& table) {
  const ParameterSpec& spec = table.parameter.spec();
  return whole.narrow(0, spec.shard_begin, spec.shard_length);
}

at::Tensor Valid(const at::Tensor& local, const OwnedParameter& table) {
  return local.narrow(0, 0, table.parameter.spec().shard_length);
}

// Lookups are exact (a sum with zeros); gradients are sums in fp32, rounded once where they are 16-bit.
void CheckEmbedding(Communicator& group, bool sequence, Types types) {
  OwnedParameter table = Table(group, types);
  table.TakeBackAfter(1);
  const TensorContext context{&group, sequence, nullptr};
  const int64_t share = sequence ? kSequence / group.size() : kSequence,
                begin = sequence ? group.rank() * share : 0;
  const at::Tensor anchor = at::zeros({}, types.value).requires_grad_();
  const at::Tensor dy = Draw("dy", {kBatch, kSequence, kHidden}, 1.0, types.value);
  const at::Tensor y = VocabularyEmbedding(Tokens(), anchor, table.parameter, context);
  torch::autograd::backward({y}, {dy.narrow(1, begin, share)});
  const at::Tensor W = Leaf(Draw("wte", {kVocab, kHidden}, 0.3, types.value));
  const at::Tensor Y = at::embedding(W, Tokens());
  torch::autograd::backward({Y}, {dy.to(at::kDouble)});
  EXPECT_TRUE(at::equal(y.to(at::kDouble), Y.narrow(1, begin, share)));
  EXPECT_LT(RelativeError(Valid(table.result, table), Slice(W.grad(), table)),
            types.grad == at::kFloat ? 1e-6 : types.u());
}

TEST(SixteenBitEmbedding, IsTheWholeTable) {
  for (Types types : kTypes) {
    for (int n : {1, 2, 4}) {
      for (bool sequence : {false, true}) {
        testing::RunRanks(n, [&](Communicator& world) { CheckEmbedding(world, sequence, types); });
      }
    }
  }
}

// Logits are rounded (bf16: a product is) by u of themselves, which moves a token's loss by at most 2 u max
// |logit| and a probability by at most 2 u max |logit| of itself; softmax and the sum of losses are fp32 and
// fp64. Gradients of the logits are rounded once, dx and dW once more and, where dW is 16-bit, with the
// addition of each block, dx with the sum over ranks.
void CheckLoss(Communicator& group, bool sequence, Types types, int64_t block_rows) {
  OwnedParameter table = Table(group, types);
  table.TakeBackAfter(1);
  const TensorContext context{&group, sequence, nullptr};
  const int64_t share = sequence ? kSequence / group.size() : kSequence,
                begin = sequence ? group.rank() * share : 0;
  const double gradient_scale = 1024.0;
  const at::Tensor x_all = Draw("x", {kBatch, kSequence, kHidden}, 1.0, types.value);
  const at::Tensor x = x_all.narrow(1, begin, share).clone().requires_grad_();
  const int64_t block_bytes = block_rows * table.value.size(0) * static_cast<int64_t>(sizeof(float));
  const at::Tensor loss =
      VocabularyLoss(x, Tokens(), table.parameter, kScale, context, gradient_scale, block_bytes);
  torch::autograd::backward({loss});
  EXPECT_EQ(loss.scalar_type(), at::kDouble);

  const at::Tensor W = Leaf(Draw("wte", {kVocab, kHidden}, 0.3, types.value)), X = Leaf(x_all);
  const at::Tensor logits = at::linear(X, W);
  const at::Tensor expected =
      at::cross_entropy_loss(logits.view({-1, kVocab}), Tokens().view({-1}), {}, at::Reduction::Sum) * kScale;
  torch::autograd::backward({expected * gradient_scale});

  const double u = types.u(), rounded = 2 * u * logits.abs().max().item<double>();
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), kBatch * kSequence * kScale * rounded);
  EXPECT_LT(RelativeError(x.grad(), X.grad().narrow(1, begin, share)), rounded + 4 * u);
  const double blocks = static_cast<double>((kBatch * kSequence + block_rows - 1) / block_rows);
  EXPECT_LT(RelativeError(Valid(table.result, table), Slice(W.grad(), table)),
            rounded + (types.grad == at::kFloat ? 2 : 2 + blocks) * u);

  OwnedParameter again = Table(group, types);
  const at::Tensor shown = VocabularyLogits(x_all.select(1, 2).contiguous(), again.parameter, context);
  EXPECT_EQ(shown.scalar_type(), types.value);
  EXPECT_LT(RelativeError(shown, logits.detach().select(1, 2)), u);
}

TEST(SixteenBitLoss, IsTheWholeProjectionWithinRounding) {
  for (Types types : kTypes) {
    for (int n : {1, 2, 4}) {
      for (bool sequence : {false, true}) {
        for (int64_t block_rows : {5, 100}) {
          testing::RunRanks(n, [&](Communicator& world) { CheckLoss(world, sequence, types, block_rows); });
        }
      }
    }
  }
}

// Gradients of about 1e-8 are 0 in fp16; scaled by 2^16 they are there.
TEST(SixteenBitLoss, AGradientScaleKeepsSmallGradients) {
  testing::RunRanks(1, [](Communicator& world) {
    const TensorContext context{&world, false, nullptr};
    const auto gradient = [&](double gradient_scale, double* loss) {
      OwnedParameter table = Table(world, {at::kHalf, at::kFloat});
      const at::Tensor x = Draw("x", {kBatch, kSequence, kHidden}, 1.0, at::kHalf).requires_grad_();
      const at::Tensor result = VocabularyLoss(x, Tokens(), table.parameter, 1e-8, context, gradient_scale);
      torch::autograd::backward({result});
      *loss = result.item<double>();
      return x.grad();
    };
    double plain_loss = 0, scaled_loss = 0;
    const at::Tensor plain = gradient(1.0, &plain_loss), scaled = gradient(65536.0, &scaled_loss);
    EXPECT_EQ(plain_loss, scaled_loss);
    EXPECT_EQ(plain.abs().sum().item<double>(), 0.0);
    EXPECT_GT((scaled != 0).to(at::kDouble).mean().item<double>(), 0.95);
  });
}

TEST(SixteenBitLoss, AGradientScaleScalesGradientsAndNotTheLoss) {
  testing::RunRanks(2, [](Communicator& world) {
    const TensorContext context{&world, false, nullptr};
    std::vector<at::Tensor> results, dx, dw;
    for (double gradient_scale : {1.0, 8.0}) {
      const ParameterSpec spec = ShardedSpec("wte", {kVocab, kHidden}, 0, world.size(), world.rank(),
                                             {Init::Kind::kNormal, 0.3}, true);
      OwnedParameter table = Make(spec, {at::kDouble, at::kDouble});
      const at::Tensor x = Draw("x", {kBatch, kSequence, kHidden}, 1.0, at::kDouble).requires_grad_();
      results.push_back(VocabularyLoss(x, Tokens(), table.parameter, kScale, context, gradient_scale));
      torch::autograd::backward({results.back()});
      dx.push_back(x.grad());
      dw.push_back(table.grad);
    }
    EXPECT_TRUE(at::equal(results[0], results[1]));
    EXPECT_TRUE(at::equal(dx[1], 8.0 * dx[0]));  // a power of two changes no bit of the mantissa
    EXPECT_TRUE(at::equal(dw[1], 8.0 * dw[0]));
  });
}

}  // namespace
}  // namespace orthant
