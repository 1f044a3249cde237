#include "orthant/sequence_parallel/ulysses.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "support/ranks.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {
namespace {

// A tensor whose elements name their logical position.
at::Tensor Numbered(at::IntArrayRef shape) {
  return at::arange(at::tensor(shape).prod().item<int64_t>(), at::kDouble).view(shape);
}

void Check(Communicator& group) {
  const int n = group.size(), r = group.rank();
  const int64_t b = 2, s = 12, h = 12, d = 3;
  const at::Tensor qkv = Numbered({b, s, 3, h, d});
  at::Tensor mine = qkv.narrow(1, r * s / n, s / n).clone().requires_grad_();
  const at::Tensor heads = SequenceToHeads(mine, group, "test");
  EXPECT_TRUE(at::equal(heads, qkv.narrow(3, r * h / n, h / n)));
  // The backward of a permutation brings each gradient home.
  torch::autograd::backward({heads}, {qkv.narrow(3, r * h / n, h / n) * 2});
  EXPECT_TRUE(at::equal(mine.grad(), mine.detach() * 2));

  const at::Tensor out = Numbered({b, s, h, d});
  at::Tensor part = out.narrow(2, r * h / n, h / n).clone().requires_grad_();
  const at::Tensor tokens = HeadsToSequence(part, group, "test");
  EXPECT_TRUE(at::equal(tokens, out.narrow(1, r * s / n, s / n)));
  torch::autograd::backward({tokens}, {out.narrow(1, r * s / n, s / n) * 3});
  EXPECT_TRUE(at::equal(part.grad(), part.detach() * 3));
}

TEST(Ulysses, ExchangesTokensForHeadsAndBack) {
  for (int n : {1, 2, 3, 4}) testing::RunRanks(n, Check);
}

}  // namespace
}  // namespace orthant
