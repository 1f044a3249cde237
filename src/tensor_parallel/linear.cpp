#include "orthant/tensor_parallel/linear.h"

#include "ATen/ATen.h"
#include "orthant/memory/account.h"
#include "orthant/nn/matmul.h"
#include "orthant/nn/pointer.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The arguments that are no tensors, kept by address: the layer's parameters and the stage's context.
struct Layer {
  Weight weight;
  Parameter* bias;
  const TensorContext* context;
  const char* what;
  int layer;

  void Save(AutogradContext& ctx) const {
    weight.Save(ctx, "weight");
    SavePointer(ctx, "bias", bias);
    SavePointer(ctx, "context", const_cast<TensorContext*>(context));
    SavePointer(ctx, "what", const_cast<char*>(what));
    ctx.saved_data["layer"] = static_cast<int64_t>(layer);
  }
  static Layer Load(AutogradContext& ctx) {
    return {Weight::Load(ctx, "weight"), LoadPointer<Parameter>(ctx, "bias"),
            LoadPointer<TensorContext>(ctx, "context"), LoadPointer<char>(ctx, "what"),
            static_cast<int>(ctx.saved_data["layer"].toInt())};
  }
  Communicator& group() const { return *context->group; }
  Label label() const { return context->At(what, layer); }
  at::Tensor BiasValue() const { return bias == nullptr ? at::Tensor() : bias->value(); }
};

struct ColumnLinearFunction : torch::autograd::Function<ColumnLinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Layer& layer) {
    const OperationScope operation(layer.what, layer.layer, layer.label().microbatch);
    layer.Save(*ctx);
    ctx->save_for_backward({x});
    const at::Tensor whole = layer.context->sequence ? GatherSequence(x, layer.group(), layer.label()) : x;
    return LinearForward(whole, layer.weight, layer.BiasValue());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Layer layer = Layer::Load(*ctx);
    const OperationScope operation(layer.what, layer.layer, layer.label().microbatch);
    const at::Tensor x = ctx->get_saved_variables()[0];
    const at::Tensor dy = grads[0].contiguous();
    at::Tensor dx = LinearBackwardInput(dy, layer.weight);
    if (layer.context->sequence) {
      const at::Tensor whole = GatherSequence(x, layer.group(), layer.label());
      LinearBackwardWeight(dy, whole, layer.weight, layer.bias);
      dx = ReduceScatterSequence(dx, layer.group(), layer.label());
    } else {
      Work reduced = layer.group().AllReduceAsync(dx, ReduceOp::kSum, layer.label());
      LinearBackwardWeight(dy, x, layer.weight, layer.bias);
      reduced.Wait();
    }
    return {dx, at::Tensor()};
  }
};

struct RowLinearFunction : torch::autograd::Function<RowLinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Layer& layer) {
    const OperationScope operation(layer.what, layer.layer, layer.label().microbatch);
    layer.Save(*ctx);
    ctx->save_for_backward({x});
    // On one rank there is nothing to sum, so the bias rides along with the product.
    const bool alone = layer.group().size() == 1;
    at::Tensor y = LinearForward(x, layer.weight, alone ? layer.BiasValue() : at::Tensor());
    if (alone) return y;
    if (layer.context->sequence) {
      y = ReduceScatterSequence(y, layer.group(), layer.label());
    } else {
      layer.group().AllReduce(y, ReduceOp::kSum, layer.label());
    }
    return layer.bias == nullptr ? y : y.add_(layer.BiasValue());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Layer layer = Layer::Load(*ctx);
    const OperationScope operation(layer.what, layer.layer, layer.label().microbatch);
    const at::Tensor x = ctx->get_saved_variables()[0];
    const at::Tensor dy = grads[0].contiguous();
    const at::Tensor whole = layer.context->sequence ? GatherSequence(dy, layer.group(), layer.label()) : dy;
    // The input gradient first: the weight's memory may be taken back once its gradient is done.
    const at::Tensor dx = LinearBackwardInput(whole, layer.weight);
    LinearBackwardWeight(whole, x, layer.weight, nullptr);
    if (layer.bias != nullptr) BiasBackward(dy, *layer.bias);  // of this rank's tokens when they are sharded
    return {dx, at::Tensor()};
  }
};

}  // namespace

at::Tensor ColumnLinear(const at::Tensor& x, const Weight& weight, Parameter* bias,
                        const TensorContext& context, const char* what, int layer) {
  return ColumnLinearFunction::apply(x, Layer{weight, bias, &context, what, layer});
}

at::Tensor RowLinear(const at::Tensor& x, const Weight& weight, Parameter* bias, const TensorContext& context,
                     const char* what, int layer) {
  return RowLinearFunction::apply(x, Layer{weight, bias, &context, what, layer});
}

}  // namespace orthant
