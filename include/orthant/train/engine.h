// Engine: one rank's training step, from batch to updated parameters. The trainer drives it for a run,
// `verify` for its proofs; neither has a step of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "orthant/data/dataset.h"
#include "orthant/memory/account.h"
#include "orthant/optim/adamw.h"
#include "orthant/optim/loss_scale.h"
#include "orthant/train/parallel_model.h"

namespace orthant {

// The same on every rank, times and memory aside.
struct StepResult {
  int64_t step = 0;
  double loss = 0.0;       // mean over the tokens of the global batch
  double grad_norm = 0.0;  // before clipping
  double lr = 0.0;
  double loss_scale = 1.0;  // that this step used
  bool skipped = false;     // gradients were not finite and the loss scale went down: nothing was updated
  bool failed = false;      // loss or gradients are not finite, and nothing was updated
  TagBytes memory{};        // held by this rank after the step; zero without an account
  MemoryPeak memory_peak;   // since the run began
  double forward_seconds = 0.0, backward_seconds = 0.0, optimizer_seconds = 0.0, seconds = 0.0;
};

class Engine {
 public:
  // Collective over `world`, which outlives the engine, as does `dataset`.
  Engine(const RunConfig& config, const Mesh& mesh, int64_t vocab, const Dataset& dataset,
         Communicator& world);

  // Steps count from 1 and come in order. Throws CommError, or StatusError when a batch cannot be read.
  StepResult Step(int64_t step);

  // After a failed step: computes it again, looking at every tensor. -> "gradient of h.3.mlp.c_fc.weight on
  // rank 5, microbatch 2", the same on every rank. Collective.
  std::string FindNonFinite(int64_t step);

  // Mean loss of `batches` global batches of the fixed validation (or training) set. Collective.
  double Evaluate(bool validation, int64_t batches);

  ParallelModel& model() { return model_; }
  const AdamW& optimizer() const { return optimizer_; }

 private:
  std::unique_ptr<Loader> MakeLoader(std::shared_ptr<const TokenSource> source,
                                     std::shared_ptr<const SampleSequence> sequence, bool prefetch) const;

  RunConfig config_;
  const Dataset& dataset_;
  Communicator& world_;
  ParallelModel model_;
  AdamW optimizer_;
  LossScale loss_scale_;
  std::unique_ptr<Loader> loader_;
};

}  // namespace orthant
