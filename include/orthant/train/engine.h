// Engine: one rank's training step, from batch to updated parameters. The trainer drives it for a run,
// `verify` for its proofs; neither has a step of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "orthant/data/dataset.h"
#include "orthant/memory/account.h"
#include "orthant/optim/adamw.h"
#include "orthant/optim/loss_scale.h"
#include "orthant/train/anomaly.h"
#include "orthant/train/fault.h"
#include "orthant/train/parallel_model.h"
#include "orthant/train/run_state.h"

namespace orthant {

// What a rank adds to the step's one exchange beside its sums; read back as sums over all ranks.
struct StepVotes {
  double stop = 0.0;  // ranks that were told to stop
  double save = 0.0;  // ranks that want a checkpoint now
  double busy = 0.0;  // ranks that are at work on one
};

// Doubles that Engine::Step sums over the world: loss, squared norm, balance of hashes, votes.
inline constexpr int64_t kStepSums = 6;

// The same on every rank, times and memory aside.
struct StepResult {
  int64_t step = 0;
  double loss = 0.0;       // mean over the tokens of the global batch
  double grad_norm = 0.0;  // before clipping
  double lr = 0.0;
  double loss_scale = 1.0;  // that this step used
  bool skipped = false;     // gradients were not finite and the loss scale went down: nothing was updated
  Anomaly anomaly = Anomaly::kNone;
  // What is to be done about it. Nothing was updated, unless kNone.
  AnomalyAction action = AnomalyAction::kNone;
  double usual_loss = 0.0;  // kSpike: the median that the loss was compared with
  StepVotes votes;          // of all ranks
  TagBytes memory{};        // held by this rank after the step; zero without an account
  MemoryPeak memory_peak;   // since the run began
  double forward_seconds = 0.0, backward_seconds = 0.0, optimizer_seconds = 0.0, seconds = 0.0;
  // Of `seconds` too: waiting for the batch, for other stages, and for the gradients' reductions.
  double data_seconds = 0.0, pipeline_seconds = 0.0, reduce_seconds = 0.0;
};

class Engine {
 public:
  // Collective over `world`, which outlives the engine, as does `dataset`. Computes on `device`.
  Engine(const RunConfig& config, const Mesh& mesh, int64_t vocab, const Dataset& dataset,
         Communicator& world, c10::Device device = c10::DeviceType::CPU);

  // The step after progress().step. Throws CommError, or StatusError when a batch cannot be read.
  StepResult Step(const StepVotes& votes = {});
  // For a step whose action was kSkip: it counts as done, its batch is left out.
  void SkipStep(const StepResult& result);

  // After a failed step: computes it again, looking at every tensor. -> "gradient of h.3.mlp.c_fc.weight on
  // rank 5, microbatch 2", the same on every rank. Collective.
  std::string FindNonFinite();

  // Mean loss of `batches` global batches of the fixed validation (or training) set. Collective.
  double Evaluate(bool validation, int64_t batches);

  ParallelModel& model() { return model_; }
  AdamW& optimizer() { return optimizer_; }

  // What the next step depends on beside the model's and the optimiser's tensors.
  Progress progress() const;
  void Restore(const Progress& progress);

  // Called in each step before the optimiser changes unit `unit`. Set before the first step.
  void BeforeUpdate(std::function<void(int unit)> before) { before_update_ = std::move(before); }
  // Rehearsed faults, which outlive the engine; null: none.
  void Rehearse(FaultInjector* faults);
  // The next step is written down in `trace`, which outlives the step; null: no more.
  void TraceTo(StepTrace* trace) { trace_ = trace; }

 private:
  // Sums over the world: loss, norm, votes. Decides what is done about them.
  void Exchange(double loss_part, const StepVotes& votes, StepResult* result);
  void NoteMemory(StepResult* result) const;
  void Update(const StepResult& result);
  void At(FaultPhase phase, const char* activity);
  // `activity`, a literal, is what the rank now does.
  void Now(const char* activity);
  std::unique_ptr<Loader> MakeLoader(std::shared_ptr<const TokenSource> source,
                                     std::shared_ptr<const SampleSequence> sequence, bool prefetch) const;

  RunConfig config_;
  const Dataset& dataset_;
  Communicator& world_;
  ParallelModel model_;
  AdamW optimizer_;
  LossScale loss_scale_;
  SpikeDetector spikes_;
  Progress progress_;  // its loss scale and losses are kept in the two above
  std::function<void(int)> before_update_;
  FaultInjector* faults_ = nullptr;
  StepTrace* trace_ = nullptr;
  std::unique_ptr<Loader> loader_;
};

}  // namespace orthant
