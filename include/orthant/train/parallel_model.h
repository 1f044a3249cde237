// ParallelModel: one rank's share of the model with every parallelism applied, in one place and one order:
// groups, stage, tensor and sequence layers, units (data parallelism), pipeline schedule.
#pragma once

#include <memory>
#include <vector>

#include "orthant/data/loader.h"
#include "orthant/mesh/mesh.h"
#include "orthant/model/stage_model.h"
#include "orthant/pipeline_parallel/executor.h"
#include "orthant/pipeline_parallel/schedule.h"
#include "orthant/train/groups.h"
#include "orthant/train/model_program.h"
#include "orthant/train/run_config.h"
#include "orthant/train/step_trace.h"

namespace orthant {

// One rank's thread. `world` outlives it.
class ParallelModel {
 public:
  // `config` is valid for `mesh`; `vocab` is resolved. Everything is made on `device`, which `world` must
  // carry. Collective over the world.
  ParallelModel(const RunConfig& config, const Mesh& mesh, int64_t vocab, Communicator& world,
                c10::Device device = c10::DeviceType::CPU);

  // Runs the schedule over one global batch; gradients accumulate in the units and their reduction has begun.
  // Gradients are those of gradient_scale times the loss.
  // -> this rank's part of (sum of the losses) / (tokens of the global batch); the parts of the last stage's
  // ranks with tensor position 0 add up to the loss, all others are 0.
  // `trace`: writes down each action, where the step is traced; else null.
  double ForwardBackward(int64_t step, const std::vector<Batch>& batches, double gradient_scale,
                         ExecutorStats* stats, StepTrace* trace = nullptr);
  // From now on, every pass is looked at by `probe`; null: no more.
  void Probe(FiniteProbe* probe);
  // Rehearsed faults in forward and backward; null: none.
  void Rehearse(FaultInjector* faults) { program_->Rehearse(faults); }
  // Waits until every unit's gradient is the sum over the global batch.
  void ReduceGradients();
  // After the optimiser's update: makes the values whole again.
  void GatherParameters();

  // Forward alone; -> this rank's part of the sum of the losses of `batches` (not divided).
  double EvaluateLoss(const std::vector<Batch>& batches);
  // window: [1, context] int64, the same on every rank -> logits [V] of the token at `position`; undefined
  // except on the last stage.
  at::Tensor NextTokenLogits(const at::Tensor& window, int64_t position);

  const Groups& groups() const { return groups_; }
  Groups& groups() { return groups_; }
  const std::vector<ShardedUnit*>& units() const { return units_; }
  const StageShare& share() const { return share_; }
  c10::Device device() const { return device_; }
  bool last_stage() const { return share_.head; }
  // Tokens of a sample that this rank reads: [first, first + count).
  int64_t first_token() const { return groups_.sequence->rank() * tokens_read(); }
  int64_t tokens_read() const { return config_.model.context / groups_.sequence->size(); }

 private:
  std::unique_ptr<StateStore> MakeStore() const;
  StageContext MakeContext(int64_t vocab);
  void EndPass();
  void CountLoss(const at::Tensor& loss, at::Tensor* sum) const;

  RunConfig config_;
  c10::Device device_;
  Groups groups_;
  StageShare share_;
  StepPosition position_;
  std::unique_ptr<StateStore> parameter_store_;  // where offloaded slices of the values live; else null
  UnitQueue queue_;
  StageContext context_;
  std::unique_ptr<StageModel> model_;
  std::vector<ShardedUnit*> units_;
  std::unique_ptr<ModelProgram> program_;
  Schedule schedule_;  // lowered
};

// Layers of each stage: parallel.stages, or balanced with embedding and head weighed in. `vocab` is resolved.
std::vector<int64_t> LayersPerStage(const RunConfig& config, int64_t vocab);

// The share of pipeline stage `stage`.
StageShare ShareOf(const RunConfig& config, int64_t vocab, int stage);

RecomputePlan RecomputePlanOf(const MemoryConfig& config);

// The types of a run: values and activations, accumulated gradients, travelling gradients.
struct Precision {
  at::ScalarType values = at::kFloat, gradients = at::kFloat, reduction = at::kFloat;
};
Precision PrecisionOf(const TrainConfig& config);

}  // namespace orthant
