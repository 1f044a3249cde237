// Recompute against keeping: the same bits, and nothing held in between or afterwards.
#include "orthant/nn/recompute.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "ATen/ATen.h"
#include "c10/core/GradMode.h"
#include "orthant/nn/dropout.h"
#include "orthant/nn/layer_norm.h"
#include "orthant/nn/matmul.h"
#include "orthant/nn/pointer.h"
#include "support/owned_parameter.h"
#include "torch/csrc/autograd/autograd.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using testing::OwnedParameter;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRows = 3, kTokens = 5, kHidden = 16;

// A linear layer whose weight is a Parameter.
struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, Parameter* weight) {
    ctx->save_for_backward({x});
    SavePointer(*ctx, "weight", weight);
    return LinearForward(x, weight->value(), {});
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto* weight = LoadPointer<Parameter>(*ctx, "weight");
    const at::Tensor dx = LinearBackwardInput(grads[0], weight->value());
    LinearBackwardWeight(grads[0], ctx->get_saved_variables()[0], *weight, nullptr);
    return {dx, at::Tensor()};
  }
};

// A block in small: x + dropout(W2 gelu(W1 norm(x))).
struct Block {
  explicit Block(at::ScalarType dtype, int64_t number)
      : layer(number),
        scale({kHidden}, dtype),
        w1({2 * kHidden, kHidden}, dtype),
        w2({kHidden, 2 * kHidden}, dtype) {}

  at::Tensor operator()(const at::Tensor& x) {
    at::Tensor y = Linear::apply(LayerNorm(x, scale.parameter, nullptr, 1e-5), &w1.parameter);
    y = Linear::apply(at::gelu(y), &w2.parameter);
    const std::vector<int64_t> rows = {2, 7, 1};
    return x + Dropout(y, 0.4, {1, 2, static_cast<uint64_t>(layer), DropoutSite::kMlpOutput}, rows,
                       {.count0 = kTokens, .count2 = kHidden});
  }
  std::array<OwnedParameter*, 3> parameters() { return {&scale, &w1, &w2}; }

  int64_t layer;
  OwnedParameter scale, w1, w2;
};

enum class Kind { kKept, kEach, kBoth, kNested };

struct Result {
  at::Tensor y, dx;
  std::vector<at::Tensor> gradients;
};

Result RunTwoBlocks(Kind kind, at::ScalarType dtype) {
  at::manual_seed(3);
  Block first(dtype, 0), second(dtype, 1);
  const at::Tensor x = at::randn({kRows, kTokens, kHidden}, dtype).requires_grad_();
  const at::Tensor dy = at::randn({kRows, kTokens, kHidden}, dtype);
  const auto a = [&](const at::Tensor& in) { return first(in); };
  const auto b = [&](const at::Tensor& in) { return second(in); };
  at::Tensor y;
  switch (kind) {
    case Kind::kKept:
      y = b(a(x));
      break;
    case Kind::kEach:
      y = Recompute(Recompute(x, a), b);
      break;
    case Kind::kBoth:
      y = Recompute(x, [&](const at::Tensor& in) { return b(a(in)); });
      break;
    case Kind::kNested:
      y = Recompute(x, [&](const at::Tensor& in) { return Recompute(Recompute(in, a), b); });
      break;
  }
  torch::autograd::backward({y}, {dy});
  Result result{y.detach(), x.grad(), {}};
  for (Block* block : {&first, &second}) {
    for (OwnedParameter* p : block->parameters()) {
      EXPECT_EQ(p->contributions, 1);
      result.gradients.push_back(p->grad);
    }
  }
  return result;
}

TEST(Recompute, GradientsAreTheSameToTheLastBitWithDropout) {
  for (at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    const Result kept = RunTwoBlocks(Kind::kKept, dtype);
    for (Kind kind : {Kind::kEach, Kind::kBoth, Kind::kNested}) {
      const Result again = RunTwoBlocks(kind, dtype);
      EXPECT_TRUE(at::equal(again.y, kept.y)) << dtype;
      EXPECT_TRUE(at::equal(again.dx, kept.dx)) << dtype;
      for (size_t i = 0; i < kept.gradients.size(); ++i) {
        EXPECT_TRUE(at::equal(again.gradients[i], kept.gradients[i])) << dtype << " parameter " << i;
      }
    }
  }
}

// Notes each tensor's storage that passes, and later counts those that are still alive.
class Watch {
 public:
  at::Tensor operator()(const at::Tensor& t) {
    storages_.emplace_back(c10::weak_intrusive_ptr<c10::StorageImpl>(
        c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(t.storage().unsafeGetStorageImpl())));
    return t;
  }
  size_t seen() const { return storages_.size(); }
  int Alive() const {
    int alive = 0;
    for (const auto& storage : storages_) alive += storage.expired() ? 0 : 1;
    return alive;
  }

 private:
  std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> storages_;
};

TEST(Recompute, KeepsTheInputAndTheClosureUntilTheGraphIsGone) {
  Watch inside, edge;
  auto sentinel = std::make_shared<int>(0);
  const std::weak_ptr<int> closure = sentinel;
  at::Tensor leaf = at::randn({8, 8}, at::kDouble).requires_grad_();
  {
    at::Tensor y = Recompute(edge(leaf * 2.0), [&inside, sentinel](const at::Tensor& x) {
      return inside(at::tanh(inside(at::exp(inside(at::sin(x)))))) * 3.0;
    });
    sentinel.reset();
    EXPECT_EQ(inside.seen(), 3u);
    EXPECT_EQ(inside.Alive(), 0);  // nothing of the forward but its end
    EXPECT_EQ(edge.Alive(), 1);    // the input is what backward starts from
    EXPECT_FALSE(closure.expired());
    torch::autograd::backward({y.sum()});
    EXPECT_EQ(inside.seen(), 6u);
    EXPECT_EQ(inside.Alive(), 0);
    EXPECT_EQ(edge.Alive(), 0);
  }
  EXPECT_TRUE(closure.expired());
  EXPECT_TRUE(leaf.grad().defined());
}

TEST(Recompute, AGraphThatIsDroppedUnusedHoldsNothing) {
  Watch edge;
  auto sentinel = std::make_shared<int>(0);
  const std::weak_ptr<int> closure = sentinel;
  const at::Tensor leaf = at::randn({4}, at::kDouble).requires_grad_();
  at::Tensor y = Recompute(edge(leaf * 2.0), [sentinel](const at::Tensor& x) { return x * x; });
  sentinel.reset();
  EXPECT_FALSE(closure.expired());
  y.reset();
  EXPECT_TRUE(closure.expired());
  EXPECT_EQ(edge.Alive(), 0);
}

TEST(Recompute, WithoutAutogradIsTheBodyAndNothingElse) {
  int calls = 0;
  const auto body = [&](const at::Tensor& x) {
    ++calls;
    return x + 1.0;
  };
  const at::Tensor leaf = at::ones({2}, at::kDouble).requires_grad_();
  {
    const c10::NoGradGuard no_grad;
    EXPECT_FALSE(Recompute(leaf, body).requires_grad());
  }
  EXPECT_FALSE(Recompute(leaf.detach(), body).requires_grad());
  EXPECT_EQ(calls, 2);
  torch::autograd::backward({Recompute(leaf, body).sum()});
  EXPECT_EQ(calls, 4);
  EXPECT_TRUE(at::equal(leaf.grad(), at::ones({2}, at::kDouble)));
}

TEST(Recompute, AnErrorInBackwardReachesTheCaller) {
  int calls = 0;
  const at::Tensor leaf = at::ones({2}, at::kDouble).requires_grad_();
  const at::Tensor y = Recompute(leaf, [&](const at::Tensor& x) {
    if (++calls == 2) throw std::runtime_error("the second time");
    return x * 2.0;
  });
  EXPECT_THROW(torch::autograd::backward({y.sum()}), std::runtime_error);
}

}  // namespace
}  // namespace orthant
