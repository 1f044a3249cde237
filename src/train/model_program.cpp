#include "orthant/train/model_program.h"

#include <utility>

#include "ATen/ATen.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant {

ModelProgram::ModelProgram(StageModel& model, const StageShare& share, const ModelConfig& config,
                           const StageContext& context, StepPosition& position)
    : model_(model),
      share_(share),
      activation_shape_{0, context.TokensHeld(config.context), config.hidden},
      dtype_(context.unit.dtype),
      position_(position) {}

void ModelProgram::Begin(int64_t step, bool training, const std::vector<Batch>* batches, Finish finish) {
  position_.step = step;
  position_.training = training;
  batches_ = batches;
  finish_ = std::move(finish);
  saved_.assign(training ? batches->size() : 0, {});
  activation_shape_[0] = batches->front().inputs.size(0);
}

void ModelProgram::Enter(int microbatch) {
  position_.microbatch = microbatch;
  position_.rows = (*batches_)[microbatch].rows;
}

at::Tensor ModelProgram::NewActivation(int chunk, int microbatch) {
  return at::empty(activation_shape_, dtype_);
}

at::Tensor ModelProgram::Forward(int chunk, int microbatch, const at::Tensor& input) {
  Enter(microbatch);
  const at::AutoGradMode grad_mode(position_.training);
  if (!share_.embedding && position_.training) input.requires_grad_(true);
  const at::Tensor x = share_.embedding ? model_.Embed((*batches_)[microbatch].inputs) : input;
  const at::Tensor hidden = model_.Blocks(x);
  const at::Tensor output = share_.head ? finish_(microbatch, hidden) : hidden;
  if (position_.training) saved_[microbatch] = {input, output};
  return share_.head ? at::Tensor() : output.detach();
}

at::Tensor ModelProgram::Backward(int chunk, int microbatch, const at::Tensor& grad_output) {
  Enter(microbatch);
  const Saved saved = std::exchange(saved_[microbatch], {});  // frees the activations when backward is done
  torch::autograd::backward({saved.output}, {grad_output});
  return share_.embedding ? at::Tensor() : saved.input.grad();
}

}  // namespace orthant
