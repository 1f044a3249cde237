#include "orthant/sequence_parallel/ulysses.h"

#include "ATen/ATen.h"
#include "orthant/memory/account.h"
#include "orthant/nn/pointer.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor Packed(const at::Tensor& x) {
  const MemoryScope scope(MemoryTag::kCommunication);
  return x.contiguous();
}
at::Tensor Buffer(at::IntArrayRef shape, const at::Tensor& like, MemoryTag tag) {
  const MemoryScope scope(tag);
  return at::empty(shape, like.options());
}

// x [B, s, G, sp * h, D] with s = S/sp -> [B, sp * s, G, h, D]
at::Tensor ToHeads(const at::Tensor& x, Communicator& group, Label label) {
  const int64_t n = group.size(), b = x.size(0), s = x.size(1), g = x.size(2), h = x.size(3) / n,
                d = x.size(4);
  const at::Tensor send = Packed(x.reshape({b, s, g, n, h, d}).permute({3, 0, 1, 2, 4, 5}));
  // Of one sample the buffer is already in order and becomes the result itself.
  const at::Tensor received =
      Buffer({n, b, s, g, h, d}, x, b == 1 ? MemoryTag::kTemporary : MemoryTag::kCommunication);
  group.AllToAll(received, send, label);
  return received.transpose(0, 1).reshape({b, n * s, g, h, d});
}

// x [B, sp * s, G, h, D] -> [B, s, G, sp * h, D]
at::Tensor ToSequence(const at::Tensor& x, Communicator& group, Label label) {
  const int64_t n = group.size(), b = x.size(0), s = x.size(1) / n, g = x.size(2), h = x.size(3),
                d = x.size(4);
  const at::Tensor send = Packed(x.reshape({b, n, s, g, h, d}).transpose(0, 1));
  const at::Tensor received = Buffer({n, b, s, g, h, d}, x, MemoryTag::kCommunication);
  group.AllToAll(received, send, label);
  return received.permute({1, 2, 3, 0, 4, 5}).reshape({b, s, g, n * h, d});
}

struct ExchangeFunction : torch::autograd::Function<ExchangeFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, Communicator* group,
                            const Label& label, bool to_heads) {
    const OperationScope operation(label.what, label.layer, label.microbatch);
    SavePointer(*ctx, "group", group);
    SavePointer(*ctx, "what", const_cast<char*>(label.what));
    ctx->saved_data["layer"] = static_cast<int64_t>(label.layer);
    ctx->saved_data["microbatch"] = static_cast<int64_t>(label.microbatch);
    ctx->saved_data["to_heads"] = to_heads;
    return to_heads ? ToHeads(x, *group, label) : ToSequence(x, *group, label);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto* group = LoadPointer<Communicator>(*ctx, "group");
    const Label label(LoadPointer<char>(*ctx, "what"), static_cast<int>(ctx->saved_data["layer"].toInt()),
                      static_cast<int>(ctx->saved_data["microbatch"].toInt()));
    const OperationScope operation(label.what, label.layer, label.microbatch);
    const bool to_heads = ctx->saved_data["to_heads"].toBool();
    const at::Tensor dx = to_heads ? ToSequence(grads[0], *group, label) : ToHeads(grads[0], *group, label);
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor SequenceToHeads(const at::Tensor& qkv, Communicator& sequence, Label label) {
  if (sequence.size() == 1) return qkv;
  return ExchangeFunction::apply(qkv, &sequence, label, true);
}

at::Tensor HeadsToSequence(const at::Tensor& x, Communicator& sequence, Label label) {
  if (sequence.size() == 1) return x;
  return ExchangeFunction::apply(x.unsqueeze(2), &sequence, label, false).squeeze(2);
}

}  // namespace orthant
