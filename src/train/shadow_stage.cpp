#include "train/shadow_stage.h"

#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

using Units = std::vector<std::unique_ptr<ShadowUnit>>;

// Calls visit(unit, spec) for each parameter of that name: more than one where it is tiled.
template <typename Visit>
void ForParameter(const std::vector<UnitPlan>& plans, const Units& units, const std::string& name,
                  const Visit& visit) {
  for (size_t u = 0; u < plans.size(); ++u) {
    for (const ParameterSpec& spec : plans[u].specs) {
      if (spec.name == name) visit(units[u].get(), spec);
    }
  }
}

ShadowUnit* Find(const std::vector<UnitPlan>& plans, const Units& units, const std::string& name) {
  ShadowUnit* found = nullptr;
  ForParameter(plans, units, name, [&](ShadowUnit* unit, const ParameterSpec&) { found = unit; });
  return found;
}

ShadowNorm FindNorm(const std::vector<UnitPlan>& plans, const Units& units, const std::string& name) {
  return {Find(plans, units, name + ".weight"), Find(plans, units, name + ".bias")};
}

ShadowLinear FindLinear(const std::vector<UnitPlan>& plans, const Units& units, const std::string& name) {
  ShadowLinear linear;
  linear.bias = Find(plans, units, name + ".bias");
  ForParameter(plans, units, name + ".weight", [&](ShadowUnit* unit, const ParameterSpec& spec) {
    linear.in = spec.LocalShape().back();
    linear.tiles.push_back(unit);
    linear.rows.push_back(spec.LocalElements() / linear.in);
    linear.out += linear.rows.back();
  });
  return linear;
}

}  // namespace

void ShadowStage::AfterForwardOf(const Units& units) {
  for (const auto& unit : units) unit->AfterForward();
}

ShadowStage::ShadowStage(const ModelConfig& config, const StageShare& share, const StagePlan& plan,
                         const RecomputePlan& recompute, const ShadowOptions& options, ShadowLayers& layers)
    : share_(share), recompute_(recompute), l_(layers), tied_(config.tie_embeddings) {
  const auto make = [&](const std::vector<UnitPlan>& plans) {
    Units units;
    for (const UnitPlan& unit : plans) units.push_back(std::make_unique<ShadowUnit>(unit, options));
    return units;
  };
  for (size_t b = 0; b < plan.blocks.size(); ++b) {
    const std::vector<UnitPlan>& plans = plan.blocks[b];
    const std::string name = absl::StrCat("h.", share.first_layer + static_cast<int64_t>(b), ".");
    Block block;
    block.units = make(plans);
    block.norm1 = FindNorm(plans, block.units, name + "ln_1");
    block.norm2 = FindNorm(plans, block.units, name + "ln_2");
    block.qkv = FindLinear(plans, block.units, name + "attn.c_attn");
    block.out = FindLinear(plans, block.units, name + "attn.c_proj");
    block.fc = FindLinear(plans, block.units, name + "mlp.c_fc");
    block.proj = FindLinear(plans, block.units, name + "mlp.c_proj");
    blocks_.push_back(std::move(block));
  }
  table_ = make(plan.table);
  embedding_ = make(plan.embedding);
  head_ = make(plan.head);
  const std::string projection = tied_ ? "wte" : "lm_head";
  const std::pair<const std::vector<UnitPlan>&, const Units&> places[] = {
      {plan.table, table_}, {plan.embedding, embedding_}, {plan.head, head_}};
  for (const auto& [plans, units] : places) {
    if (ShadowUnit* unit = Find(plans, units, "wte.weight")) tokens_ = unit;
    if (ShadowUnit* unit = Find(plans, units, "wpe.weight")) positions_ = unit;
    const ShadowLinear found = FindLinear(plans, units, projection);
    if (share.head && !found.tiles.empty()) projection_ = found;
  }
  final_norm_ = FindNorm(plan.head, head_, "ln_f");

  const auto add = [&](const Units& units) {
    for (const auto& unit : units) units_.push_back(unit.get());
  };
  if (share.embedding) add(table_);
  add(embedding_);
  for (const Block& block : blocks_) add(block.units);
  add(head_);
  if (!share.embedding) add(table_);
}

ShadowStage::Held ShadowStage::Dropped(Held x, Held* mask) {
  if (!l_.shape().dropout) return x;
  Held y = l_.New(l_.shape().Held());
  *mask = l_.New(l_.shape().HeldRows() * l_.shape().hidden);
  return y;
}

ShadowStage::Held ShadowStage::DroppedBackward(const Held& dy, Held mask) {
  return mask == nullptr ? dy : l_.New(l_.shape().Held());
}

ShadowStage::Held ShadowStage::Embed(Saved& saved) {
  tokens_->Read();
  Held y = l_.New(l_.shape().Whole());
  if (l_.shape().held != l_.shape().tokens) y = l_.ReduceScatter();
  positions_->Read();
  y = l_.New(l_.shape().Held());
  AfterForwardOf(table_);
  AfterForwardOf(embedding_);
  return Dropped(y, &saved.mask);
}

ShadowStage::Held ShadowStage::ForwardBlock(const Block& block, const Held& input, RecomputePlan::Kind kind,
                                            bool keep, SavedBlock& s) {
  s.input = input;
  s.statistics1 = l_.NormForward(block.norm1, &s.y1);
  s.qkv = l_.Exchange(l_.Column(block.qkv));
  Held attended = AttentionForward(kind == RecomputePlan::Kind::kNone && keep, s.core);
  if (l_.shape().sequence > 1) {
    s.attended = l_.Exchange(attended);
  } else {
    s.attended = l_.shape().dropout ? l_.New(attended->bytes()) : attended;
  }
  attended = l_.Row(block.out);
  if (!keep) s.qkv = s.y1 = s.statistics1 = s.attended = nullptr;
  if (keep && kind == RecomputePlan::Kind::kNone && (l_.shape().CopiesHeads() || l_.shape().widened())) {
    s.qkv = nullptr;
  }
  const Held dropped = Dropped(attended, &s.mask1);
  s.x = l_.New(l_.shape().Held());

  s.statistics2 = l_.NormForward(block.norm2, &s.y2);
  s.wide = l_.Column(block.fc);
  if (!keep) s.y2 = nullptr;
  s.gelu = l_.New(s.wide->bytes());
  if (!keep) s.wide = nullptr;
  Held y = l_.Row(block.proj);
  if (!keep) s.gelu = nullptr;
  y = Dropped(y, &s.mask2);
  Held output = l_.New(l_.shape().Held());
  if (!keep) s = {};
  return output;
}

ShadowStage::Held ShadowStage::Accumulate(Held sum, const Held& more) {
  return sum.use_count() == 1 ? sum : l_.New(more->bytes());
}

ShadowStage::Held ShadowStage::BackwardBlock(const Block& block, SavedBlock s, Held dy,
                                             RecomputePlan::Kind kind) {
  Held output;
  const bool whole = kind == RecomputePlan::Kind::kFull;
  const Held outer = whole ? dy : nullptr;  // held by the node that computes again
  if (whole) {
    const Held input = std::move(s.input);
    output = ForwardBlock(block, input, RecomputePlan::Kind::kNone, /*keep=*/true, s);
  }
  Held d = DroppedBackward(dy, std::move(s.mask2));
  d = l_.RowBackward(block.proj, std::move(d));
  s.gelu = nullptr;
  d = l_.New(d->bytes());  // gelu
  s.wide = nullptr;
  d = l_.ColumnBackward(block.fc, std::move(d));
  s.y2 = nullptr;
  d = l_.NormBackward(block.norm2);
  s.x = s.statistics2 = nullptr;
  dy = Accumulate(std::move(dy), d);

  d = DroppedBackward(dy, std::move(s.mask1));
  d = l_.RowBackward(block.out, std::move(d));
  s.attended = nullptr;
  if (l_.shape().sequence > 1) d = l_.Exchange(d);
  d = AttentionBackward(s, std::move(d), kind == RecomputePlan::Kind::kSelective);
  d = l_.ColumnBackward(block.qkv, l_.Exchange(std::move(d)));
  s.y1 = nullptr;
  d = l_.NormBackward(block.norm1);
  s.input = s.statistics1 = nullptr;
  return Accumulate(std::move(dy), d);
}

ShadowStage::Saved ShadowStage::Forward(Held input) {
  Saved saved;
  Held x = share_.embedding ? Embed(saved) : input;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const RecomputePlan::Kind kind = recompute_.Of(share_.first_layer + static_cast<int64_t>(b));
    saved.blocks.emplace_back();
    const bool keep = kind != RecomputePlan::Kind::kFull;
    Held y = ForwardBlock(blocks_[b], x, kind, keep, saved.blocks.back());
    if (!keep) saved.blocks.back().input = x;
    x = std::move(y);
    AfterForwardOf(blocks_[b].units);
  }
  saved.input = std::move(input);
  if (share_.head) {
    Loss(std::move(x), saved);
  } else {
    saved.output = std::move(x);
  }
  return saved;
}

ShadowStage::Held ShadowStage::Backward(Saved saved, Held dy) {
  if (share_.head) dy = LossBackward(saved);
  for (size_t b = blocks_.size(); b-- > 0;) {
    dy = BackwardBlock(blocks_[b], std::move(saved.blocks[b]), std::move(dy),
                       recompute_.Of(share_.first_layer + static_cast<int64_t>(b)));
  }
  if (!share_.embedding) return dy;
  dy = DroppedBackward(dy, std::move(saved.mask));
  positions_->AddGradient();
  l_.ledger().Pass(dy->bytes() / l_.shape().samples);
  positions_->Done();
  Held whole = l_.shape().held != l_.shape().tokens ? l_.Gather() : dy;
  tokens_->AddGradient();
  tokens_->Done();
  return nullptr;
}

}  // namespace orthant
