// The operations on bf16 and fp16, with gradients in the same type or fp32, against fp64 on the same
// (rounded) inputs.
//
// Bounds. u is the unit roundoff: 2^-8 for bf16 (8 significant bits), 2^-11 for fp16 (11). Sums are made in
// fp32 and rounded once, so a result of exact value r may be off by u |r|, and by what fp32 loses: n terms of
// absolute sum s by n 2^-24 s at most. A kernel that summed in 16 bits would be off by up to n u s, and is
// caught.
#include <gtest/gtest.h>

#include <cmath>

#include "ATen/ATen.h"
#include "orthant/nn/accumulate.h"
#include "orthant/nn/embedding.h"
#include "orthant/nn/layer_norm.h"
#include "orthant/nn/matmul.h"
#include "orthant/nn/position_embedding.h"
#include "support/owned_parameter.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {
namespace {

using testing::OwnedParameter;

struct Types {
  at::ScalarType value, grad;
  double u() const { return value == at::kBFloat16 ? 0x1p-8 : 0x1p-11; }
  // Roundoff of a gradient that was computed in fp32.
  double grad_u() const { return grad == at::kFloat ? 0.0 : u(); }
};

class SixteenBit : public ::testing::TestWithParam<Types> {
 protected:
  void SetUp() override { at::manual_seed(5); }
  Types types() const { return GetParam(); }
  at::Tensor Draw(at::IntArrayRef shape) const { return at::randn(shape, at::kDouble).to(types().value); }
  OwnedParameter Make(const std::vector<int64_t>& shape) const {
    return OwnedParameter(shape, types().value, types().grad);
  }
};

at::Tensor Double(const at::Tensor& t) {
  return t.detach().to(at::kDouble);
}

// |ours - exact| <= roundoff |exact| + slack, everywhere.
void ExpectWithin(const at::Tensor& ours, const at::Tensor& exact, double roundoff, const at::Tensor& slack) {
  ASSERT_EQ(ours.sizes(), exact.sizes());
  const at::Tensor over = (Double(ours) - exact).abs() - 1.01 * roundoff * exact.abs() - slack;
  EXPECT_LE(over.max().item<double>(), 1e-30);
}

// The slack of fp32 sums of n terms whose absolute sum is s.
at::Tensor FloatSlack(int64_t n, const at::Tensor& s) {
  return s * (static_cast<double>(n) * 0x1p-24);
}

TEST_P(SixteenBit, LinearForwardAndInputGradient) {
  for (int64_t n : {1, 3, 64}) {
    OwnedParameter w = Make({40, 300}), b = Make({40});
    const at::Tensor x = Draw({2, n, 300}), dy = Draw({2, n, 40}), W = Double(w.value);
    const at::Tensor y = LinearForward(x, w.value, b.value);
    EXPECT_EQ(y.scalar_type(), types().value);
    ExpectWithin(y, at::linear(Double(x), W, Double(b.value)), types().u(),
                 FloatSlack(301, at::linear(Double(x).abs(), W.abs(), Double(b.value).abs())));
    ExpectWithin(LinearForward(x, w.value, {}), at::linear(Double(x), W), types().u(),
                 FloatSlack(300, at::linear(Double(x).abs(), W.abs())));
    const at::Tensor dx = LinearBackwardInput(dy, w.value);
    EXPECT_EQ(dx.scalar_type(), types().value);
    ExpectWithin(dx, at::matmul(Double(dy), W), types().u(),
                 FloatSlack(40, at::matmul(Double(dy).abs(), W.abs())));
  }
}

// A product may be rounded to 16 bits before it is added to an fp32 gradient (bf16: by its kernel), so each
// of the two contributions costs u; a 16-bit gradient is rounded with each addition as well.
TEST_P(SixteenBit, WeightAndBiasGradients) {
  OwnedParameter w = Make({40, 30}), b = Make({40});
  const at::Tensor x = Draw({4, 100, 30}), dy = Draw({4, 100, 40});
  const at::Tensor X = Double(x).view({-1, 30}), DY = Double(dy).view({-1, 40});
  const at::Tensor exact_w = DY.t().mm(X), exact_b = DY.sum(0);
  const at::Tensor slack_w = FloatSlack(400, DY.t().abs().mm(X.abs())),
                   slack_b = FloatSlack(400, DY.abs().sum(0));
  LinearBackwardWeight(dy, x, w.parameter, &b.parameter);
  ExpectWithin(w.grad, exact_w, types().u(), slack_w);
  ExpectWithin(b.grad, exact_b, types().grad_u(), slack_b);
  LinearBackwardWeight(dy, x, w.parameter, &b.parameter);
  ExpectWithin(w.grad, 2 * exact_w, types().u() + types().grad_u(), 2 * slack_w);
  ExpectWithin(b.grad, 2 * exact_b, 2 * types().grad_u(), 2 * slack_b);
}

// Rounding the rows' statistics to 16 bits, as LibTorch does for 16-bit weights, would cost |x| u in dx.
TEST_P(SixteenBit, LayerNorm) {
  OwnedParameter weight = Make({64}), bias = Make({64});
  const at::Tensor x = (Draw({3, 50, 64}) + 2).requires_grad_(), dy = Draw({3, 50, 64});
  const at::Tensor x2 = Double(x).requires_grad_(), w2 = Double(weight.value).requires_grad_(),
                   b2 = Double(bias.value).requires_grad_();
  const at::Tensor y = LayerNorm(x, weight.parameter, &bias.parameter, 1e-5);
  const at::Tensor exact = at::layer_norm(x2, {64}, w2, b2, 1e-5);
  torch::autograd::backward({y}, {dy});
  torch::autograd::backward({exact}, {Double(dy)});
  // fp32 arithmetic on numbers below 10, with sums of 64 and of 150 terms.
  const at::Tensor slack = at::full({}, 64 * 10 * 0x1p-23, at::kDouble),
                   sums = at::full({}, 150 * 100 * 0x1p-23, at::kDouble);
  ExpectWithin(y, exact.detach(), types().u(), slack);
  ExpectWithin(x.grad(), x2.grad(), types().u(), slack);
  ExpectWithin(weight.grad, w2.grad(), types().grad_u(), sums);
  ExpectWithin(bias.grad, b2.grad(), types().grad_u(), sums);
}

TEST_P(SixteenBit, Embedding) {
  OwnedParameter table = Make({7, 1100});
  const at::Tensor tokens = at::randint(7, {30, 10}, at::kLong), dy = Draw({30, 10, 1100});
  EXPECT_TRUE(at::equal(EmbeddingLookup(tokens, table.value, 0), at::embedding(table.value, tokens)));
  const at::Tensor sum = at::zeros({7, 1100}, at::kDouble), absolute = at::zeros({7, 1100}, at::kDouble);
  sum.index_add_(0, tokens.view(-1), Double(dy).view({-1, 1100}));
  absolute.index_add_(0, tokens.view(-1), Double(dy).abs().view({-1, 1100}));
  EmbeddingBackward(dy, tokens, table.parameter, 0);
  ExpectWithin(table.grad, sum, types().grad_u(), FloatSlack(300, absolute));
  EmbeddingBackward(dy, tokens, table.parameter, 0);
  ExpectWithin(table.grad, 2 * sum, 2 * types().grad_u(), FloatSlack(600, 2 * absolute));
}

TEST_P(SixteenBit, Positions) {
  OwnedParameter table = Make({12, 130});
  const at::Tensor x = Draw({90, 9, 130}).requires_grad_(), dy = Draw({90, 9, 130});
  const at::Tensor y = AddPositions(x, table.parameter, 2);
  torch::autograd::backward({y}, {dy});
  EXPECT_TRUE(at::equal(
      y, (x.detach().to(at::kFloat) + table.value.narrow(0, 2, 9).to(at::kFloat)).to(types().value)));
  EXPECT_TRUE(at::equal(x.grad(), dy));
  ExpectWithin(table.grad.narrow(0, 2, 9), Double(dy).sum(0), types().grad_u(),
               FloatSlack(90, Double(dy).abs().sum(0)));
  EXPECT_EQ(table.grad.narrow(0, 0, 2).abs().sum().item<double>(), 0.0);
}

std::string NameOf(const ::testing::TestParamInfo<Types>& types) {
  return std::string(c10::toString(types.param.value)) + "With" + c10::toString(types.param.grad);
}

constexpr Types kTypes[] = {{at::kBFloat16, at::kBFloat16},
                            {at::kBFloat16, at::kFloat},
                            {at::kHalf, at::kHalf},
                            {at::kHalf, at::kFloat}};
INSTANTIATE_TEST_SUITE_P(Types, SixteenBit, ::testing::ValuesIn(kTypes), NameOf);

TEST(SumOfFirstDim, SumsSixteenBitsInFp32) {
  // 1 + 2^-9 is no bf16, and 4096 ones are past where bf16 could count.
  const at::Tensor ones = at::ones({4096, 3, 70}, at::kBFloat16);
  const at::Tensor sums = SumOfFirstDim(ones);
  EXPECT_EQ(sums.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(sums, at::full({3, 70}, 4096.0f)));
  const at::Tensor half = at::randn({5, 67}, at::kHalf);
  EXPECT_TRUE(at::allclose(SumOfFirstDim(half), half.to(at::kFloat).sum(0), 1e-6, 1e-6));
}

TEST(AddOrCopy, AddsAcrossTypesAndRoundsOnce) {
  for (at::ScalarType sixteen : {at::kBFloat16, at::kHalf}) {
    const at::Tensor a = at::randn({3001}, at::kFloat), b = at::randn({3001}, at::kFloat);
    const at::Tensor single = a.clone(), narrow = a.to(sixteen);
    AddOrCopy(single, b.to(sixteen), true);
    EXPECT_TRUE(at::equal(single, a + b.to(sixteen).to(at::kFloat)));
    AddOrCopy(narrow, b, true);
    EXPECT_TRUE(at::equal(narrow, (a.to(sixteen).to(at::kFloat) + b).to(sixteen)));
    AddOrCopy(narrow, b, false);
    EXPECT_TRUE(at::equal(narrow, b.to(sixteen)));
  }
}

}  // namespace
}  // namespace orthant
