#include "orthant/model/gpt2.h"

#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "c10/core/GradMode.h"
#include "model/gpt2_specs.h"
#include "orthant/memory/account.h"
#include "orthant/nn/layer_norm.h"
#include "orthant/nn/position_embedding.h"
#include "orthant/nn/recompute.h"
#include "orthant/tensor_parallel/linear.h"
#include "orthant/tensor_parallel/vocabulary.h"

namespace orthant {
namespace {

Parameter* FindIn(const std::vector<std::unique_ptr<ShardedUnit>>& units, const std::string& name) {
  for (const auto& unit : units) {
    if (Parameter* found = unit->Find(name)) return found;
  }
  return nullptr;
}

// Whole, or its tiles in order.
Weight WeightIn(const std::vector<std::unique_ptr<ShardedUnit>>& units, const std::string& name) {
  std::vector<Parameter*> tiles;
  for (const auto& unit : units) {
    if (Parameter* found = unit->Find(name)) tiles.push_back(found);
  }
  return Weight(std::move(tiles));
}

void AfterForward(const std::vector<std::unique_ptr<ShardedUnit>>& units) {
  for (const auto& unit : units) unit->AfterForward();
}

}  // namespace

Gpt2Stage::Gpt2Stage(const ModelConfig& config, const StageShare& share, const StageContext& context)
    : config_(config), share_(share), context_(context) {
  Gpt2StageSpecs specs = SpecsOfGpt2Stage(config, share, context.vocab, context.tensor.group->size(),
                                          context.tensor.group->rank());
  for (int64_t l = 0; l < share.layers; ++l) {
    blocks_.push_back(MakeBlock(static_cast<int>(share.first_layer + l), std::move(specs.blocks[l])));
  }
  MakeEnds(std::move(specs));
}

UnitOptions Gpt2Stage::UnitAt(int64_t layer) const {
  UnitOptions options = context_.unit;
  options.depth = static_cast<int>(config_.layers - layer);  // backward ends at the embedding
  return options;
}

// Embedding, layers and head are one behind the other.
void Gpt2Stage::Probe(int64_t layer, const std::string& what, const at::Tensor& x) const {
  const StepPosition& position = *context_.position;
  if (position.probe == nullptr || position.backward) return;
  position.probe->Check({position.microbatch, false, static_cast<int>(layer + 1)}, what, x);
}

void Gpt2Stage::MakeEnds(Gpt2StageSpecs specs) {
  const bool tied = config_.tie_embeddings, across = tied && share_.embedding != share_.head;
  if (share_.embedding) {
    if (across) table_ = MakeUnits("table", std::move(specs.table), UnitAt(-1));
    embedding_ = MakeUnits("embedding", std::move(specs.embedding), UnitAt(-1));
    tokens_ = FindIn(across ? table_ : embedding_, "wte.weight");
    positions_ = FindIn(embedding_, "wpe.weight");
    anchor_ = at::zeros({}, at::TensorOptions(context_.unit.dtype).device(context_.unit.device))
                  .requires_grad_(true);
  }
  if (share_.head) {
    if (across) table_ = MakeUnits("table", std::move(specs.table), UnitAt(config_.layers));
    head_ = MakeUnits("head", std::move(specs.head), UnitAt(config_.layers));
    final_norm_ = {FindIn(head_, "ln_f.weight"), FindIn(head_, "ln_f.bias")};
    projection_ = !tied ? FindIn(head_, "lm_head.weight") : across ? FindIn(table_, "wte.weight") : tokens_;
  }
}

Gpt2Stage::Block Gpt2Stage::MakeBlock(int layer, std::vector<ParameterSpec> specs) const {
  Block block;
  block.layer = layer;
  block.units = MakeUnits(absl::StrCat("h.", layer), std::move(specs), UnitAt(layer));
  const auto find = [&](const char* rest) { return FindIn(block.units, BlockName(layer, rest)); };
  block.norm1 = {find("ln_1.weight"), find("ln_1.bias")};
  block.norm2 = {find("ln_2.weight"), find("ln_2.bias")};
  const auto weight = [&](const char* rest) { return WeightIn(block.units, BlockName(layer, rest)); };
  block.attention = {weight("attn.c_attn.weight"), find("attn.c_attn.bias"), weight("attn.c_proj.weight"),
                     find("attn.c_proj.bias")};
  block.fc = weight("mlp.c_fc.weight");
  block.fc_bias = find("mlp.c_fc.bias");
  block.proj = weight("mlp.c_proj.weight");
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
  at::Tensor x = VocabularyEmbedding(tokens, anchor_, *tokens_, context_.tensor);
  x = AddPositions(x, *positions_, context_.FirstToken(config_.context));
  AfterForward(table_);
  AfterForward(embedding_);
  Probe(-1, "output of the embedding", x);
  return DropHidden(x, DropoutSite::kEmbedding, 0);
}

at::Tensor Gpt2Stage::Activate(const at::Tensor& x, int layer) const {
  const OperationScope operation("mlp.gelu", layer, context_.position->microbatch);
  return at::gelu(x, config_.activation == "gelu_tanh" ? "tanh" : "none");
}

at::Tensor Gpt2Stage::ForwardBlock(const Block& block, const at::Tensor& input) const {
  const OperationScope operation("residual", block.layer, context_.position->microbatch);
  const at::Tensor attended =
      CausalSelfAttention(ApplyNorm(input, block.norm1), block.attention, config_, context_, block.layer);
  const at::Tensor x = input + DropHidden(attended, DropoutSite::kAttentionOutput, block.layer);
  at::Tensor y = ApplyNorm(x, block.norm2);
  y = ColumnLinear(y, block.fc, block.fc_bias, context_.tensor, "mlp.fc", block.layer);  // [b, S/sp, 4H/t]
  y = Activate(y, block.layer);
  y = RowLinear(y, block.proj, block.proj_bias, context_.tensor, "mlp.proj", block.layer);
  return x + DropHidden(y, DropoutSite::kMlpOutput, block.layer);
}

at::Tensor Gpt2Stage::RunBlock(const Block& block, const at::Tensor& x) const {
  const auto body = [this, &block](const at::Tensor& input) { return ForwardBlock(block, input); };
  const bool again = context_.recompute.Of(block.layer) == RecomputePlan::Kind::kFull;
  const at::Tensor y = again ? Recompute(x, body) : body(x);
  AfterForward(block.units);
  if (context_.position->training) {
    if (const std::shared_ptr<MemoryAccount> memory = BoundMemory()) memory->KeepTemporaries();
  }
  Probe(block.layer, absl::StrCat("output of block ", block.layer), y);
  return y;
}

at::Tensor Gpt2Stage::Blocks(const at::Tensor& input) {
  at::Tensor x = input;
  for (const Block& block : blocks_) x = RunBlock(block, x);
  return x;
}

at::Tensor Gpt2Stage::Loss(const at::Tensor& x, const at::Tensor& targets, double scale,
                           double gradient_scale) {
  const at::Tensor loss = VocabularyLoss(ApplyNorm(x, final_norm_), targets, *projection_, scale,
                                         context_.tensor, gradient_scale);
  Probe(config_.layers, "loss", loss);
  // The projection's gradient is made with the loss: backward reads no table. The head's own backward is
  // next.
  if (config_.tie_embeddings) AfterForward(share_.embedding ? embedding_ : table_);
  if (!context_.position->training) AfterForward(head_);
  return loss;
}

at::Tensor Gpt2Stage::Logits(const at::Tensor& x, int64_t position) {
  const c10::NoGradGuard no_grad;
  const int64_t local = position - context_.FirstToken(config_.context);
  const bool here = local >= 0 && local < x.size(1);
  // The one rank that holds the token hands it to the others of its sequence and tensor groups. All of them
  // read the norm: under ZeRO 3 that is a collective.
  const at::Tensor row = ApplyNorm(x.select(1, here ? local : 0), final_norm_).contiguous();
  if (!here) row.zero_();
  context_.sequence->AllReduce(row, ReduceOp::kSum, "logits.row");
  if (context_.tensor.sequence) context_.tensor.group->AllReduce(row, ReduceOp::kSum, "logits.row");
  return VocabularyLogits(row, *projection_, context_.tensor);
}

std::vector<ShardedUnit*> Gpt2Stage::units() const {
  std::vector<ShardedUnit*> all;
  const auto add = [&](const Units& units) {
    for (const auto& unit : units) all.push_back(unit.get());
  };
  if (share_.embedding) add(table_);
  add(embedding_);
  for (const Block& block : blocks_) add(block.units);
  add(head_);
  if (!share_.embedding) add(table_);
  return all;
}

std::vector<ShardedUnit*> Gpt2Stage::tied_units() const {
  std::vector<ShardedUnit*> tied;
  for (const auto& unit : table_) tied.push_back(unit.get());
  return tied;
}

}  // namespace orthant
