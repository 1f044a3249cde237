// ShadowStage: what a stage of the GPT-2 family holds during forward and backward; the shadow of Gpt2Stage
// and of the autograd graph behind it.
#pragma once

#include <memory>
#include <vector>

#include "orthant/model/recompute_plan.h"
#include "orthant/model/stage_plan.h"
#include "train/shadow_layers.h"

namespace orthant {

class ShadowStage {
 public:
  using Held = MemoryLedger::Held;

  struct SavedBlock {
    Held input, statistics1, y1, qkv, attended, mask1, x, statistics2, y2, wide, gelu, mask2;
    std::vector<Held> core;  // of the attention
  };
  // What one microbatch keeps between forward and backward.
  struct Saved {
    Held mask;           // of the embedding's dropout
    Held input, output;  // of the stage
    std::vector<SavedBlock> blocks;
    Held norm_input, norm_statistics, loss_gradient;
  };

  // Builds the units in the order of the model's constructor. `layers` outlives the stage.
  ShadowStage(const ModelConfig& config, const StageShare& share, const StagePlan& plan,
              const RecomputePlan& recompute, const ShadowOptions& options, ShadowLayers& layers);

  // input: [b, S', H]; nothing on the first stage.
  Saved Forward(Held input);
  // The gradient of the output, nothing on the last stage -> that of the input, nothing on the first.
  Held Backward(Saved saved, Held dy);

  // In forward order.
  const std::vector<ShadowUnit*>& units() const { return units_; }

 private:
  using Units = std::vector<std::unique_ptr<ShadowUnit>>;
  struct Block {
    Units units;
    ShadowNorm norm1, norm2;
    ShadowLinear qkv, out, fc, proj;
  };

  Held Embed(Saved& saved);
  // Without `keep` as in a forward without autograd.
  Held ForwardBlock(const Block& block, const Held& input, RecomputePlan::Kind kind, bool keep,
                    SavedBlock& saved);
  Held BackwardBlock(const Block& block, SavedBlock saved, Held dy, RecomputePlan::Kind kind);
  // q, k and v -> [b, h', S, D].
  Held AttentionForward(bool keep, std::vector<Held>& saved);
  Held AttentionBackward(SavedBlock& saved, Held dy, bool again);
  Held Dropped(Held x, Held* mask);
  Held DroppedBackward(const Held& dy, Held mask);
  // Autograd adds in place where nobody else holds the sum.
  Held Accumulate(Held sum, const Held& more);
  void Loss(Held x, Saved& saved);
  Held LossBackward(Saved& saved);
  static void AfterForwardOf(const Units& units);

  StageShare share_;
  RecomputePlan recompute_;
  ShadowLayers& l_;
  bool tied_ = false;
  Units table_, embedding_, head_;
  std::vector<Block> blocks_;
  std::vector<ShadowUnit*> units_;
  ShadowUnit *tokens_ = nullptr, *positions_ = nullptr;
  ShadowLinear projection_;
  ShadowNorm final_norm_;
};

}  // namespace orthant
