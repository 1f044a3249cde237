#include "orthant/tensor_parallel/context.h"

#include "ATen/ATen.h"
#include "orthant/memory/account.h"

namespace orthant {
namespace {

// What only a transfer holds counts as communication; its outcome is the operation's.
at::Tensor TransferBuffer(at::IntArrayRef shape, const at::Tensor& like) {
  const MemoryScope scope(MemoryTag::kCommunication);
  return at::empty(shape, like.options());
}
at::Tensor Packed(const at::Tensor& x) {
  const MemoryScope scope(MemoryTag::kCommunication);
  return x.contiguous();
}

}  // namespace

at::Tensor GatherSequence(const at::Tensor& x, Communicator& group, Label label) {
  const int64_t t = group.size(), b = x.size(0), s = x.size(1), h = x.size(2);
  if (t == 1) return x;
  const at::Tensor shards = TransferBuffer({t, b, s, h}, x);
  group.AllGather(shards, x.contiguous(), label);
  return shards.permute({1, 0, 2, 3}).reshape({b, t * s, h});
}

at::Tensor ReduceScatterSequence(const at::Tensor& x, Communicator& group, Label label) {
  const int64_t t = group.size(), b = x.size(0), s = x.size(1) / t, h = x.size(2);
  if (t == 1) return x;
  const at::Tensor shards = Packed(x.reshape({b, t, s, h}).permute({1, 0, 2, 3}));
  at::Tensor out = at::empty({b, s, h}, x.options());
  group.ReduceScatter(out, shards, ReduceOp::kSum, label);
  return out;
}

}  // namespace orthant
