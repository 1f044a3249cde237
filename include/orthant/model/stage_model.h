// StageModel: one stage's (or chunk's) share of a model. A family is one class behind this interface and one
// line in the table of src/model/families.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/model/model_config.h"
#include "orthant/model/recompute_plan.h"
#include "orthant/model/stage_share.h"
#include "orthant/tensor_parallel/context.h"

namespace orthant {

// What every layer of a stage shares. Everything pointed to outlives the stage.
struct StageContext {
  TensorContext tensor;
  Communicator* sequence = nullptr;  // the sequence axis
  UnitOptions unit;                  // memory, seed, groups of data parallelism
  RecomputePlan recompute;
  const StepPosition* position = nullptr;  // step, microbatch, rows; written by the trainer
  int64_t vocab = 0;                       // classes, without padding

  // Tokens this rank holds between blocks, [begin, begin + length) of a sample of `context` tokens.
  int64_t TokensHeld(int64_t context) const;
  int64_t FirstToken(int64_t context) const;
};

// One rank's thread. Shapes: b samples, S' = TokensHeld, S/sp tokens on the sequence axis, H hidden.
class StageModel {
 public:
  virtual ~StageModel() = default;

  // tokens [b, S/sp] -> [b, S', H]; first stage only. The result requires grad in training.
  virtual at::Tensor Embed(const at::Tensor& tokens) = 0;
  // [b, S', H] -> [b, S', H]: this stage's blocks.
  virtual at::Tensor Blocks(const at::Tensor& x) = 0;
  // [b, S', H], targets [b, S/sp] -> scalar fp64: scale * sum of the losses of this rank's tokens; last stage
  // only. Gradients are those of gradient_scale times that.
  virtual at::Tensor Loss(const at::Tensor& x, const at::Tensor& targets, double scale,
                          double gradient_scale) = 0;
  // [b, S', H] -> logits [b, V] of the token at `position` (0 .. context-1), on every rank of tensor and
  // sequence; last stage only, no autograd.
  virtual at::Tensor Logits(const at::Tensor& x, int64_t position) = 0;

  // The units, in forward order.
  virtual std::vector<ShardedUnit*> units() const = 0;
  // The units that hold this stage's copy of an embedding tied across stages, and nothing else, so that both
  // copies are sharded alike; empty when there is none or first and last stage are one.
  virtual std::vector<ShardedUnit*> tied_units() const = 0;
};

// Builds a share of the configured family. `config` has been validated.
std::unique_ptr<StageModel> MakeStageModel(const ModelConfig& config, const StageShare& share,
                                           const StageContext& context);

}  // namespace orthant
