// PlannedStage: what the forward and backward of a stage of the GPT-2 family communicate: Gpt2Stage and the
// autograd graph behind it, with nothing computed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "orthant/model/recompute_plan.h"
#include "orthant/model/stage_plan.h"
#include "train/collective_plan_unit.h"

namespace orthant {

// Elements of what one rank hands on, and the like: of a microbatch.
struct PlannedShape {
  int64_t held = 0;   // of [b, S', H]
  int64_t whole = 0;  // of [b, S/sp, H]
  int64_t rows = 0;   // b S/sp
  int64_t tensor = 1, sequence = 1;
  bool tensor_sequence = false;
  at::ScalarType dtype = at::kFloat;

  static PlannedShape Of(const RunConfig& config, at::ScalarType dtype);
};

class PlannedStage {
 public:
  // Builds the units in the order of the model's constructor.
  PlannedStage(const ModelConfig& config, const StageShare& share, const StagePlan& plan,
               const RecomputePlan& recompute, const PlannedShape& shape, const PlannedUnitOptions& options);

  void Forward(int microbatch, bool training);
  void Backward(int microbatch);

  // In forward order.
  const std::vector<PlannedUnit*>& units() const { return units_; }

 private:
  using Units = std::vector<std::unique_ptr<PlannedUnit>>;
  struct Norm {
    PlannedUnit *weight = nullptr, *bias = nullptr;
  };
  struct Linear {
    std::vector<PlannedUnit*> tiles;
    PlannedUnit* bias = nullptr;
    int64_t rows = 0;  // of all tiles on this rank
    Label label;       // without the microbatch
  };
  struct Block {
    int64_t layer = 0;
    Units units;
    Norm norm1, norm2;
    Linear qkv, out, fc, proj;
  };
  using Named = std::vector<std::pair<std::string, PlannedUnit*>>;

  Units MakeUnits(const std::vector<UnitPlan>& plans, const PlannedUnitOptions& options);
  void MakeEnds(const StagePlan& plan, const PlannedUnitOptions& options);

  void Embed();
  void EmbedBackward();
  void ForwardBlock(const Block& block);
  void BackwardBlock(const Block& block);
  void Loss(bool training);
  void LossBackward();

  void NormBackward(const Norm& norm);
  void Column(const Linear& linear);
  void ColumnBackward(const Linear& linear);
  void Row(const Linear& linear);
  void RowBackward(const Linear& linear);
  void ReadTiles(const Linear& linear);
  void WeightGradient(const Linear& linear);
  static void Contribute(PlannedUnit* unit);
  static void ReadNorm(const Norm& norm);
  static void AfterForwardOf(const Units& units);

  // Over the tensor group: of [b, S/t, H] to [b, S, H], or the sum of such back.
  void Gather(const Label& label);
  void ReduceScatter(const Label& label);
  void Exchange(const char* what, int64_t layer, int64_t elements);
  PlannedOperation Over(GroupKind group, OpKind kind, int64_t count, Label label) const;

  StageShare share_;
  RecomputePlan recompute_;
  PlannedShape shape_;
  CollectiveTape& tape_;
  bool tied_ = false;
  int microbatch_ = 0;
  Units table_, embedding_, head_;
  std::vector<Block> blocks_;
  std::vector<PlannedUnit*> units_;
  PlannedUnit *tokens_ = nullptr, *positions_ = nullptr;
  Linear projection_;
  Norm final_norm_;
};

}  // namespace orthant
