// The executor interprets one rank's row of a lowered schedule: it computes through a StageProgram, sends and
// receives through the pipeline's communicator, and knows no schedule by name.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "orthant/comm/communicator.h"
#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

// What a rank's stages do for each action. Called by the rank's own thread, in the order of the row.
// Activations [b, S', H] and their gradients have one shape; tensors handed over carry no autograd graph.
class StageProgram {
 public:
  virtual ~StageProgram() = default;

  // input: undefined on the first stage. -> the output; undefined on the last stage, which keeps its loss.
  virtual at::Tensor Forward(int chunk, int microbatch, const at::Tensor& input) = 0;
  // grad_output: undefined on the last stage. -> the gradient of the input; undefined on the first stage.
  virtual at::Tensor Backward(int chunk, int microbatch, const at::Tensor& grad_output) = 0;
  // A new contiguous buffer to receive the chunk's input, or the gradient of its output, into.
  virtual at::Tensor NewActivation(int chunk, int microbatch) = 0;

  // What the program can do besides the above: RunSchedule refuses a row that holds any other kind before it
  // starts.
  virtual bool Supports(ActionKind kind) const;
  // Backward in two halves (zero bubble, arXiv 2401.10241): the gradient of the input now, the weights'
  // later.
  virtual at::Tensor BackwardInput(int chunk, int microbatch, const at::Tensor& grad_output);
  virtual void BackwardWeight(int chunk, int microbatch);
  virtual void GatherParams(int chunk);
  virtual void ReleaseParams(int chunk);
  virtual void ReduceGrads(int chunk);
};

// Added to, never reset, by RunSchedule.
struct ExecutorStats {
  double forward_seconds = 0, backward_seconds = 0;  // inside the program
  double wait_seconds = 0;                           // for receives, and for old sends to be taken
  int64_t sends = 0, receives = 0;
};

// Runs row `rank` of `lowered` (ValidateLowered has passed; it is not repeated here). `pipeline` has
// lowered.ranks members and `rank` is its own; with one rank nothing is sent. `stats` may be null. Receives
// are posted ahead of their turn, over compute but never over another communication, so that communications
// keep the proven order. Posting ahead stops at two receives not yet used; at most eight sends await their
// receivers. Throws std::invalid_argument before the first action when schedule, communicator and program do
// not fit together, and CommError when a transfer fails.
void RunSchedule(const Schedule& lowered, int rank, Communicator& pipeline, StageProgram& program,
                 ExecutorStats* stats);

}  // namespace orthant
