#include "orthant/model/attention.h"

#include <cmath>

#include "ATen/ATen.h"
#include "orthant/memory/account.h"
#include "orthant/nn/dropout.h"
#include "orthant/nn/recompute.h"
#include "orthant/sequence_parallel/ulysses.h"
#include "orthant/tensor_parallel/linear.h"

namespace orthant {
namespace {

// q, k, v [b, h, S, D] -> [b, h, S, D]. The probabilities exist, so that our own mask can drop some of them;
// the fused kernel has no such place.
at::Tensor AttentionWithDropout(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double dropout,
                                const DropoutKey& key, const StageContext& context, int64_t first_head) {
  const int64_t heads = q.size(1), s = q.size(2);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor future = at::ones({s, s}, q.options().dtype(at::kBool)).triu(1);
  const at::Tensor scores = (at::matmul(q, k.transpose(2, 3)) * scale).masked_fill(future, -INFINITY);
  DropoutWindow window;
  window.logical1 = s;
  window.begin0 = first_head;
  window.count0 = heads;
  window.count1 = s;
  window.count2 = s;
  return at::matmul(Dropout(at::softmax(scores, -1), dropout, key, context.position->rows, window), v);
}

// qkv [b, S, 3, h', D] -> [b, h', S, D]: this rank's heads, all tokens.
at::Tensor AttentionCore(const at::Tensor& qkv, const ModelConfig& config, const StageContext& context,
                         int layer) {
  const OperationScope operation("attn.core", layer, context.position->microbatch);
  if (qkv.scalar_type() == at::kHalf &&
      qkv.device().is_cpu()) {  // LibTorch has plain loops for it, 8 times slower
    return AttentionCore(qkv.to(at::kFloat), config, context, layer).to(at::kHalf);
  }
  const at::Tensor heads_first = qkv.permute({2, 0, 3, 1, 4});  // [3, b, h', S, D]
  const at::Tensor q = heads_first[0], k = heads_first[1], v = heads_first[2];
  if (config.dropout == 0.0 || !context.position->training) {
    return at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true);
  }
  const Communicator& sequence = *context.sequence;
  const int64_t first_head = (context.tensor.group->rank() * sequence.size() + sequence.rank()) * q.size(1);
  const DropoutKey key{context.unit.seed, static_cast<uint64_t>(context.position->step),
                       static_cast<uint64_t>(layer), DropoutSite::kAttention};
  return AttentionWithDropout(q, k, v, config.dropout, key, context, first_head);
}

}  // namespace

at::Tensor CausalSelfAttention(const at::Tensor& x, const AttentionParameters& parameters,
                               const ModelConfig& config, const StageContext& context, int layer) {
  Communicator& sequence = *context.sequence;
  const int64_t d = config.head_dim();
  at::Tensor qkv = ColumnLinear(x, parameters.qkv, parameters.qkv_bias, context.tensor, "attn.qkv", layer);
  qkv = qkv.view({qkv.size(0), qkv.size(1), 3, -1, d});                             // [b, S/sp, 3, h/t, D]
  qkv = SequenceToHeads(qkv, sequence, context.tensor.At("attn.to_heads", layer));  // [b, S, 3, h/(t sp), D]
  const auto core = [&config, &context, layer](const at::Tensor& heads) {
    return AttentionCore(heads, config, context, layer);
  };
  const bool again = context.recompute.Of(layer) == RecomputePlan::Kind::kSelective;
  at::Tensor y = again ? Recompute(qkv, core) : core(qkv);
  y = HeadsToSequence(y.transpose(1, 2), sequence,
                      context.tensor.At("attn.to_sequence", layer));  // [b, S/sp, h/t, D]
  return RowLinear(y.reshape({y.size(0), y.size(1), -1}), parameters.out, parameters.out_bias, context.tensor,
                   "attn.out", layer);
}

}  // namespace orthant
