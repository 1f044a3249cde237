// ModelProgram: what the pipeline executor calls for each action - a stage's forward and backward of a
// microbatch - on a StageModel.
#pragma once

#include <functional>
#include <vector>

#include "orthant/data/loader.h"
#include "orthant/model/stage_model.h"
#include "orthant/pipeline_parallel/executor.h"
#include "orthant/train/fault.h"

namespace orthant {

// One rank's thread.
class ModelProgram : public StageProgram {
 public:
  // What the last stage does with the hidden state of a microbatch: [b, S', H].
  using Finish = std::function<at::Tensor(int microbatch, const at::Tensor& hidden)>;

  ModelProgram(StageModel& model, const StageShare& share, const ModelConfig& config,
               const StageContext& context, StepPosition& position, UnitQueue& queue);

  // Opens a pass over `batches`, one a microbatch, all of the same size. In training, `finish` returns the
  // scalar that backward starts from; otherwise its result is not used.
  void Begin(int64_t step, bool training, const std::vector<Batch>* batches, Finish finish);

  // Rehearsed faults; null: none.
  void Rehearse(FaultInjector* faults) { faults_ = faults; }

  at::Tensor Forward(int chunk, int microbatch, const at::Tensor& input) override;
  at::Tensor Backward(int chunk, int microbatch, const at::Tensor& grad_output) override;
  at::Tensor NewActivation(int chunk, int microbatch) override;

 private:
  void Enter(int microbatch, UnitQueue::Direction direction);

  StageModel& model_;
  StageShare share_;
  std::vector<int64_t> activation_shape_;  // [., S', H]; the first entry is the microbatch's
  at::TensorOptions options_;              // of activations
  StepPosition& position_;
  UnitQueue& queue_;
  const std::vector<Batch>* batches_ = nullptr;
  Finish finish_;
  FaultInjector* faults_ = nullptr;
  struct Saved {
    at::Tensor input, output;
  };
  std::vector<Saved> saved_;  // of microbatches between forward and backward
};

}  // namespace orthant
