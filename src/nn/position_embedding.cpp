#include "orthant/nn/position_embedding.h"

#include "ATen/ATen.h"
#include "orthant/memory/account.h"
#include "orthant/nn/accumulate.h"
#include "orthant/nn/pointer.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct PositionFunction : torch::autograd::Function<PositionFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, Parameter* table, int64_t first) {
    const OperationScope operation("positions");
    SavePointer(*ctx, "table", table);
    ctx->saved_data["first"] = first;
    return x + table->value().narrow(0, first, x.size(1));
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const OperationScope operation("positions");
    auto* table = LoadPointer<Parameter>(*ctx, "table");
    const bool add = table->AddsToGrad();
    const at::Tensor grad = table->grad();
    if (!add) grad.zero_();
    AddOrCopy(grad.narrow(0, ctx->saved_data["first"].toInt(), grads[0].size(1)), SumOfFirstDim(grads[0]),
              true);
    table->ContributionDone();
    return {grads[0], at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor AddPositions(const at::Tensor& x, Parameter& table, int64_t first) {
  return PositionFunction::apply(x, &table, first);
}

}  // namespace orthant
