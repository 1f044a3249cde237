#include "orthant/train/model_program.h"

#include <utility>

#include "ATen/ATen.h"
#include "c10/core/GradMode.h"
#include "orthant/memory/account.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {

ModelProgram::ModelProgram(StageModel& model, const StageShare& share, const ModelConfig& config,
                           const StageContext& context, StepPosition& position, UnitQueue& queue)
    : model_(model),
      share_(share),
      activation_shape_{0, context.TokensHeld(config.context), config.hidden},
      options_(at::TensorOptions(context.unit.dtype).device(context.unit.device)),
      position_(position),
      queue_(queue) {}

void ModelProgram::Begin(int64_t step, bool training, const std::vector<Batch>* batches, Finish finish) {
  position_.step = step;
  position_.training = training;
  batches_ = batches;
  finish_ = std::move(finish);
  saved_.assign(training ? batches->size() : 0, {});
  activation_shape_[0] = batches->front().inputs.size(0);
}

void ModelProgram::Enter(int microbatch, UnitQueue::Direction direction) {
  queue_.Enter(direction);
  position_.backward = direction == UnitQueue::Direction::kBackward;
  position_.microbatch = microbatch;
  position_.rows = (*batches_)[microbatch].rows;
}

at::Tensor ModelProgram::NewActivation(int chunk, int microbatch) {
  const MemoryScope scope(MemoryTag::kActivations);
  const OperationScope operation("pipeline.receive", -1, microbatch);
  return at::empty(activation_shape_, options_);
}

at::Tensor ModelProgram::Forward(int chunk, int microbatch, const at::Tensor& input) {
  Enter(microbatch, UnitQueue::Direction::kForward);
  if (faults_ != nullptr && position_.training) faults_->At(FaultPhase::kForward);
  const PhaseScope phase(position_.training ? StepPhase::kForward : StepPhase::kEvaluate);
  const OperationScope operation("forward", -1, microbatch);
  const c10::AutoGradMode grad_mode(position_.training);
  if (!share_.embedding && position_.training) input.requires_grad_(true);
  const at::Tensor x = share_.embedding ? model_.Embed((*batches_)[microbatch].inputs) : input;
  const at::Tensor hidden = model_.Blocks(x);
  const at::Tensor output = share_.head ? finish_(microbatch, hidden) : hidden;
  if (position_.training) {
    saved_[microbatch] = {input, output};
    if (const std::shared_ptr<MemoryAccount> memory = BoundMemory()) memory->KeepTemporaries();
  }
  return share_.head ? at::Tensor() : output.detach();
}

at::Tensor ModelProgram::Backward(int chunk, int microbatch, const at::Tensor& grad_output) {
  Enter(microbatch, UnitQueue::Direction::kBackward);
  if (faults_ != nullptr) faults_->At(FaultPhase::kBackward);
  const PhaseScope phase(StepPhase::kBackward);
  const OperationScope operation("backward", -1, microbatch);
  const Saved saved = std::exchange(saved_[microbatch], {});  // frees the activations when backward is done
  torch::autograd::backward({saved.output}, {grad_output});
  return share_.embedding ? at::Tensor() : saved.input.grad();
}

}  // namespace orthant
