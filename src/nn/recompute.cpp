#include "orthant/nn/recompute.h"

#include <utility>

#include "ATen/ATen.h"
#include "c10/core/GradMode.h"
#include "torch/csrc/autograd/autograd.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Lets the autograd context, which holds IValues only, own the closure.
struct Body : torch::CustomClassHolder {
  explicit Body(std::function<at::Tensor(const at::Tensor&)> f) : call(std::move(f)) {}
  std::function<at::Tensor(const at::Tensor&)> call;
};

struct RecomputeFunction : torch::autograd::Function<RecomputeFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const c10::intrusive_ptr<Body>& body) {
    ctx->save_for_backward({x});
    ctx->saved_data["body"] = c10::IValue::make_capsule(body);
    return body->call(x.detach());  // autograd is off in here
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto capsule = ctx->saved_data["body"].toCapsule();
    const auto* body = static_cast<const Body*>(capsule.get());
    const at::Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(true);
    {
      const c10::AutoGradMode grad_mode(true);
      const at::Tensor y = body->call(x);
      torch::autograd::backward({y}, {grads[0]});
    }
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Recompute(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> body) {
  if (!c10::GradMode::is_enabled() || !x.requires_grad()) return body(x);
  return RecomputeFunction::apply(x, c10::make_intrusive<Body>(std::move(body)));
}

}  // namespace orthant
