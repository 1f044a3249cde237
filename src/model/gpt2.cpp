#include "orthant/model/gpt2.h"

#include <utility>

#include "ATen/ATen.h"
#include "model/gpt2_specs.h"
#include "orthant/nn/layer_norm.h"
#include "orthant/nn/position_embedding.h"
#include "orthant/tensor_parallel/linear.h"
#include "orthant/tensor_parallel/vocabulary.h"

namespace orthant {

Gpt2Stage::Gpt2Stage(const ModelConfig& config, const StageShare& share, const StageContext& context)
    : config_(config), share_(share), context_(context) {
  const int parts = context.tensor.group->size(), part = context.tensor.group->rank();
  const bool tied = config.tie_embeddings;
  if (share.embedding) {
    std::vector<ParameterSpec> specs = Gpt2EmbeddingSpecs(config, context.vocab, parts, part);
    if (tied && share.head) specs.front().uses = 2;  // looked up and projected onto
    embedding_ = std::make_unique<ShardedUnit>("embedding", std::move(specs), context.unit);
    tokens_ = embedding_->Find("wte.weight");
    positions_ = embedding_->Find("wpe.weight");
    anchor_ = at::zeros({}, context.unit.dtype).requires_grad_(true);
  }
  for (int64_t l = 0; l < share.layers; ++l)
    blocks_.push_back(MakeBlock(static_cast<int>(share.first_layer + l)));
  if (share.head) {
    head_ = std::make_unique<ShardedUnit>(
        "head", Gpt2HeadSpecs(config, context.vocab, share.embedding, parts, part), context.unit);
    final_norm_ = {head_->Find("ln_f.weight"), head_->Find("ln_f.bias")};
    projection_ = !tied             ? head_->Find("lm_head.weight")
                  : share.embedding ? tokens_
                                    : head_->Find("wte.weight");
  }
  if (tied && share.embedding != share.head) tied_unit_ = share.embedding ? embedding_.get() : head_.get();
}

Gpt2Stage::Block Gpt2Stage::MakeBlock(int layer) const {
  Block block;
  block.layer = layer;
  block.unit = std::make_unique<ShardedUnit>(
      BlockName(layer, ""),
      Gpt2BlockSpecs(config_, layer, context_.tensor.group->size(), context_.tensor.group->rank()),
      context_.unit);
  const auto find = [&](const char* rest) { return block.unit->Find(BlockName(layer, rest)); };
  block.norm1 = {find("ln_1.weight"), find("ln_1.bias")};
  block.norm2 = {find("ln_2.weight"), find("ln_2.bias")};
  block.attention = {find("attn.c_attn.weight"), find("attn.c_attn.bias"), find("attn.c_proj.weight"),
                     find("attn.c_proj.bias")};
  block.fc = find("mlp.c_fc.weight");
  block.fc_bias = find("mlp.c_fc.bias");
  block.proj = find("mlp.c_proj.weight");
  block.proj_bias = find("mlp.c_proj.bias");
  return block;
}

at::Tensor Gpt2Stage::ApplyNorm(const at::Tensor& x, const Norm& norm) const {
  return LayerNorm(x, *norm.weight, norm.bias, config_.norm_eps);
}

// Dropout of a [b, S', H] activation.
at::Tensor Gpt2Stage::DropHidden(const at::Tensor& x, DropoutSite site, int64_t layer) const {
  if (config_.dropout == 0.0 || !context_.position->training) return x;
  DropoutWindow window;
  window.begin0 = context_.FirstToken(config_.context);
  window.count0 = x.size(1);
  window.count2 = x.size(2);
  const DropoutKey key{context_.unit.seed, static_cast<uint64_t>(context_.position->step),
                       static_cast<uint64_t>(layer), site};
  return Dropout(x, config_.dropout, key, context_.position->rows, window);
}

at::Tensor Gpt2Stage::Embed(const at::Tensor& tokens) {
  const at::Tensor x = VocabularyEmbedding(tokens, anchor_, *tokens_, context_.tensor);
  return DropHidden(AddPositions(x, *positions_, context_.FirstToken(config_.context)),
                    DropoutSite::kEmbedding, 0);
}

at::Tensor Gpt2Stage::ForwardBlock(const Block& block, const at::Tensor& input) const {
  const at::Tensor attended =
      CausalSelfAttention(ApplyNorm(input, block.norm1), block.attention, config_, context_, block.layer);
  const at::Tensor x = input + DropHidden(attended, DropoutSite::kAttentionOutput, block.layer);
  at::Tensor y = ApplyNorm(x, block.norm2);
  y = ColumnLinear(y, *block.fc, block.fc_bias, context_.tensor, "mlp.fc", block.layer);  // [b, S/sp, 4H/t]
  y = at::gelu(y, config_.activation == "gelu_tanh" ? "tanh" : "none");
  y = RowLinear(y, *block.proj, block.proj_bias, context_.tensor, "mlp.proj", block.layer);
  return x + DropHidden(y, DropoutSite::kMlpOutput, block.layer);
}

at::Tensor Gpt2Stage::Blocks(const at::Tensor& input) {
  at::Tensor x = input;
  for (const Block& block : blocks_) x = ForwardBlock(block, x);
  return x;
}

at::Tensor Gpt2Stage::Loss(const at::Tensor& x, const at::Tensor& targets, double scale) {
  return VocabularyLoss(ApplyNorm(x, final_norm_), targets, *projection_, scale, context_.tensor);
}

at::Tensor Gpt2Stage::Logits(const at::Tensor& x, int64_t position) {
  const at::NoGradGuard no_grad;
  const int64_t local = position - context_.FirstToken(config_.context);
  const bool here = local >= 0 && local < x.size(1);
  // The one rank that holds the token hands it to the others of its sequence and tensor groups.
  const at::Tensor row = here ? ApplyNorm(x.select(1, local), final_norm_).contiguous()
                              : at::zeros({x.size(0), x.size(2)}, x.options());
  context_.sequence->AllReduce(row, ReduceOp::kSum, "logits.row");
  if (context_.tensor.sequence) context_.tensor.group->AllReduce(row, ReduceOp::kSum, "logits.row");
  return VocabularyLogits(row, *projection_, context_.tensor);
}

std::vector<ShardedUnit*> Gpt2Stage::units() const {
  std::vector<ShardedUnit*> all;
  if (embedding_) all.push_back(embedding_.get());
  for (const Block& block : blocks_) all.push_back(block.unit.get());
  if (head_) all.push_back(head_.get());
  return all;
}

}  // namespace orthant
