#include "train/collective_plan_stage.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/OpMathType.h"
#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

// VocabularyLoss's own default.
constexpr int64_t kLogitsBytes = int64_t{32} << 20;

// Calls visit(unit index, spec) for each parameter of that name: more than one where it is tiled.
template <typename Visit>
void ForParameter(const std::vector<UnitPlan>& plans, const std::string& name, const Visit& visit) {
  for (size_t u = 0; u < plans.size(); ++u) {
    for (const ParameterSpec& spec : plans[u].specs) {
      if (spec.name == name) visit(u, spec);
    }
  }
}

template <typename Units>
PlannedUnit* Find(const std::vector<UnitPlan>& plans, const Units& units, const std::string& name) {
  PlannedUnit* found = nullptr;
  ForParameter(plans, name, [&](size_t u, const ParameterSpec&) { found = units[u].get(); });
  return found;
}

}  // namespace

PlannedShape PlannedShape::Of(const RunConfig& c, at::ScalarType dtype) {
  PlannedShape s;
  s.tensor = c.parallel.tensor;
  s.sequence = c.parallel.sequence;
  s.tensor_sequence = c.parallel.tensor_sequence;
  s.rows = c.train.micro_batch * (c.model.context / s.sequence);
  s.whole = s.rows * c.model.hidden;
  s.held = s.whole / (s.tensor_sequence ? s.tensor : 1);
  s.dtype = dtype;
  return s;
}

PlannedStage::PlannedStage(const ModelConfig& config, const StageShare& share, const StagePlan& plan,
                           const RecomputePlan& recompute, const PlannedShape& shape,
                           const PlannedUnitOptions& options)
    : share_(share),
      recompute_(recompute),
      shape_(shape),
      tape_(*options.tape),
      tied_(config.tie_embeddings) {
  for (size_t b = 0; b < plan.blocks.size(); ++b) {
    const std::vector<UnitPlan>& plans = plan.blocks[b];
    Block block;
    block.layer = share.first_layer + static_cast<int64_t>(b);
    block.units = MakeUnits(plans, options);
    const std::string name = absl::StrCat("h.", block.layer, ".");
    const auto norm = [&](const char* rest) -> Norm {
      return {Find(plans, block.units, absl::StrCat(name, rest, ".weight")),
              Find(plans, block.units, absl::StrCat(name, rest, ".bias"))};
    };
    const auto linear = [&](const char* rest, const char* what) {
      Linear found;
      found.label = Label(what, static_cast<int>(block.layer));
      found.bias = Find(plans, block.units, absl::StrCat(name, rest, ".bias"));
      ForParameter(plans, absl::StrCat(name, rest, ".weight"),
                   [&](size_t u, const ParameterSpec&) { found.tiles.push_back(block.units[u].get()); });
      return found;
    };
    block.norm1 = norm("ln_1");
    block.norm2 = norm("ln_2");
    block.qkv = linear("attn.c_attn", "attn.qkv");
    block.out = linear("attn.c_proj", "attn.out");
    block.fc = linear("mlp.c_fc", "mlp.fc");
    block.proj = linear("mlp.c_proj", "mlp.proj");
    blocks_.push_back(std::move(block));
  }
  MakeEnds(plan, options);
  const auto add = [&](const Units& units) {
    for (const auto& unit : units) units_.push_back(unit.get());
  };
  if (share.embedding) add(table_);
  add(embedding_);
  for (const Block& block : blocks_) add(block.units);
  add(head_);
  if (!share.embedding) add(table_);
}

PlannedStage::Units PlannedStage::MakeUnits(const std::vector<UnitPlan>& plans,
                                            const PlannedUnitOptions& options) {
  Units units;
  for (const UnitPlan& plan : plans) units.push_back(std::make_unique<PlannedUnit>(plan, options));
  return units;
}

void PlannedStage::MakeEnds(const StagePlan& plan, const PlannedUnitOptions& options) {
  table_ = MakeUnits(plan.table, options);
  embedding_ = MakeUnits(plan.embedding, options);
  head_ = MakeUnits(plan.head, options);
  for (const auto& unit : table_) unit->TieToPair();
  const std::pair<const std::vector<UnitPlan>*, const Units*> places[] = {
      {&plan.table, &table_}, {&plan.embedding, &embedding_}, {&plan.head, &head_}};
  for (const auto& [plans, units] : places) {
    if (PlannedUnit* unit = Find(*plans, *units, "wte.weight")) tokens_ = unit;
    if (PlannedUnit* unit = Find(*plans, *units, "wpe.weight")) positions_ = unit;
    if (!share_.head) continue;
    ForParameter(*plans, tied_ ? "wte.weight" : "lm_head.weight", [&](size_t u, const ParameterSpec& spec) {
      projection_.tiles = {(*units)[u].get()};
      projection_.rows = spec.LocalShape().front();
    });
  }
  final_norm_ = {Find(plan.head, head_, "ln_f.weight"), Find(plan.head, head_, "ln_f.bias")};
}

void PlannedStage::AfterForwardOf(const Units& units) {
  for (const auto& unit : units) unit->AfterForward();
}

PlannedOperation PlannedStage::Over(GroupKind group, OpKind kind, int64_t count, Label label) const {
  PlannedOperation op;
  op.group = group;
  op.kind = kind;
  op.dtype = shape_.dtype;
  op.count = count;
  op.label = label;
  op.label.microbatch = microbatch_;
  return op;
}

void PlannedStage::Gather(const Label& label) {
  tape_.Run(Over(GroupKind::kTensor, OpKind::kAllGather, shape_.held, label));
}

void PlannedStage::ReduceScatter(const Label& label) {
  tape_.Run(Over(GroupKind::kTensor, OpKind::kReduceScatter, shape_.held, label));
}

void PlannedStage::Exchange(const char* what, int64_t layer, int64_t elements) {
  tape_.Run(Over(GroupKind::kSequence, OpKind::kAllToAll, elements / shape_.sequence,
                 Label(what, static_cast<int>(layer))));
}

void PlannedStage::Contribute(PlannedUnit* unit) {
  unit->AddGradient();
  unit->ContributionDone();
}

void PlannedStage::ReadNorm(const Norm& norm) {
  norm.weight->Read();
  if (norm.bias != nullptr) norm.bias->Read();
}

void PlannedStage::NormBackward(const Norm& norm) {
  ReadNorm(norm);
  Contribute(norm.weight);
  if (norm.bias != nullptr) Contribute(norm.bias);
}

// For a product: each tile is given back before the next is read.
void PlannedStage::ReadTiles(const Linear& linear) {
  for (PlannedUnit* tile : linear.tiles) {
    tile->Read();
    if (linear.tiles.size() > 1) tile->AfterForward();
  }
}

void PlannedStage::WeightGradient(const Linear& linear) {
  for (PlannedUnit* tile : linear.tiles) Contribute(tile);
}

void PlannedStage::Column(const Linear& linear) {
  if (shape_.tensor_sequence) Gather(linear.label);
  if (linear.bias != nullptr) linear.bias->Read();
  ReadTiles(linear);
}

void PlannedStage::ColumnBackward(const Linear& linear) {
  ReadTiles(linear);
  int reduced = -1;
  if (shape_.tensor_sequence) {
    Gather(linear.label);
  } else {
    reduced = tape_.Issue(Over(GroupKind::kTensor, OpKind::kAllReduce, shape_.whole, linear.label));
  }
  WeightGradient(linear);
  if (linear.bias != nullptr) Contribute(linear.bias);
  if (shape_.tensor_sequence) ReduceScatter(linear.label);
  tape_.Wait(&reduced);
}

void PlannedStage::Row(const Linear& linear) {
  const bool alone = shape_.tensor == 1;
  if (alone && linear.bias != nullptr) linear.bias->Read();
  ReadTiles(linear);
  if (alone) return;
  if (shape_.tensor_sequence) {
    ReduceScatter(linear.label);
  } else {
    tape_.Run(Over(GroupKind::kTensor, OpKind::kAllReduce, shape_.whole, linear.label));
  }
  if (linear.bias != nullptr) linear.bias->Read();
}

void PlannedStage::RowBackward(const Linear& linear) {
  if (shape_.tensor_sequence) Gather(linear.label);
  ReadTiles(linear);
  WeightGradient(linear);
  if (linear.bias != nullptr) Contribute(linear.bias);
}

void PlannedStage::ForwardBlock(const Block& block) {
  const int64_t features = shape_.whole / shape_.tensor;
  ReadNorm(block.norm1);
  Column(block.qkv);
  Exchange("attn.to_heads", block.layer, 3 * features);
  Exchange("attn.to_sequence", block.layer, features);
  Row(block.out);
  ReadNorm(block.norm2);
  Column(block.fc);
  Row(block.proj);
}

void PlannedStage::BackwardBlock(const Block& block) {
  const int64_t features = shape_.whole / shape_.tensor;
  if (recompute_.Of(block.layer) == RecomputePlan::Kind::kFull) ForwardBlock(block);
  RowBackward(block.proj);
  ColumnBackward(block.fc);
  NormBackward(block.norm2);
  RowBackward(block.out);
  Exchange("attn.to_sequence", block.layer, features);
  Exchange("attn.to_heads", block.layer, 3 * features);
  ColumnBackward(block.qkv);
  NormBackward(block.norm1);
}

void PlannedStage::Embed() {
  tokens_->Read();
  if (shape_.tensor_sequence) {
    ReduceScatter("embedding");
  } else {
    tape_.Run(Over(GroupKind::kTensor, OpKind::kAllReduce, shape_.whole, "embedding"));
  }
  positions_->Read();
  AfterForwardOf(table_);
  AfterForwardOf(embedding_);
}

void PlannedStage::EmbedBackward() {
  Contribute(positions_);
  if (shape_.tensor_sequence) Gather("embedding");
  Contribute(tokens_);
}

void PlannedStage::Loss(bool training) {
  ReadNorm(final_norm_);
  if (shape_.tensor_sequence) Gather("loss.input");
  PlannedUnit& table = *projection_.tiles.front();
  table.Read();
  const at::ScalarType wide = at::toOpMathType(shape_.dtype);
  const int64_t together =
      std::max<int64_t>(1, kLogitsBytes / (projection_.rows * static_cast<int64_t>(c10::elementSize(wide))));
  for (int64_t begin = 0; begin < shape_.rows; begin += together) {
    const int64_t rows = std::min(together, shape_.rows - begin);
    PlannedOperation maxima = Over(GroupKind::kTensor, OpKind::kAllReduce, rows, "loss.max");
    maxima.reduce = ReduceOp::kMax;
    maxima.dtype = wide;
    tape_.Run(maxima);
    PlannedOperation sums = Over(GroupKind::kTensor, OpKind::kAllReduce, 2 * rows, "loss.sum");
    sums.dtype = wide;
    tape_.Run(sums);
    if (training) table.AddGradient();
  }
  if (tied_) AfterForwardOf(share_.embedding ? embedding_ : table_);
  if (!training) AfterForwardOf(head_);
}

void PlannedStage::LossBackward() {
  PlannedUnit& table = *projection_.tiles.front();
  if (shape_.tensor_sequence) {
    ReduceScatter("loss.input");
    table.ContributionDone();
  } else {
    int reduced = tape_.Issue(Over(GroupKind::kTensor, OpKind::kAllReduce, shape_.whole, "loss.input"));
    table.ContributionDone();
    tape_.Wait(&reduced);
  }
  NormBackward(final_norm_);
}

void PlannedStage::Forward(int microbatch, bool training) {
  microbatch_ = microbatch;
  if (share_.embedding) Embed();
  for (const Block& block : blocks_) {
    ForwardBlock(block);
    AfterForwardOf(block.units);
  }
  if (share_.head) Loss(training);
}

void PlannedStage::Backward(int microbatch) {
  microbatch_ = microbatch;
  if (share_.head) LossBackward();
  for (size_t b = blocks_.size(); b-- > 0;) BackwardBlock(blocks_[b]);
  if (share_.embedding) EmbedBackward();
}

}  // namespace orthant
