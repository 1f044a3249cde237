#include "orthant/tensor_parallel/context.h"

#include "ATen/ATen.h"

namespace orthant {

at::Tensor GatherSequence(const at::Tensor& x, Communicator& group, Label label) {
  const int64_t t = group.size(), b = x.size(0), s = x.size(1), h = x.size(2);
  if (t == 1) return x;
  at::Tensor shards = at::empty({t, b, s, h}, x.options());
  group.AllGather(shards, x.contiguous(), label);
  return shards.permute({1, 0, 2, 3}).reshape({b, t * s, h});
}

at::Tensor ReduceScatterSequence(const at::Tensor& x, Communicator& group, Label label) {
  const int64_t t = group.size(), b = x.size(0), s = x.size(1) / t, h = x.size(2);
  if (t == 1) return x;
  const at::Tensor shards = x.reshape({b, t, s, h}).permute({1, 0, 2, 3}).contiguous();
  at::Tensor out = at::empty({b, s, h}, x.options());
  group.ReduceScatter(out, shards, ReduceOp::kSum, label);
  return out;
}

}  // namespace orthant
