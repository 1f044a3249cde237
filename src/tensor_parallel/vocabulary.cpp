#include "orthant/tensor_parallel/vocabulary.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/OpMathType.h"
#include "c10/core/GradMode.h"
#include "orthant/memory/account.h"
#include "orthant/nn/embedding.h"
#include "orthant/nn/matmul.h"
#include "orthant/nn/pointer.h"
#include "orthant/nn/softmax_loss.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

int Microbatch(const TensorContext& context) {
  return context.At("", -1).microbatch;
}

struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& anchor, const at::Tensor& tokens,
                            Parameter* table, const TensorContext* context) {
    const OperationScope operation("embedding", -1, Microbatch(*context));
    ctx->save_for_backward({tokens});
    SavePointer(*ctx, "table", table);
    SavePointer(*ctx, "context", const_cast<TensorContext*>(context));
    at::Tensor y = EmbeddingLookup(tokens, table->value(), table->spec().shard_begin);
    const Label label = context->At("embedding", -1);
    if (context->sequence) return ReduceScatterSequence(y, *context->group, label);
    context->group->AllReduce(y, ReduceOp::kSum, label);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor tokens = ctx->get_saved_variables()[0];
    auto* table = LoadPointer<Parameter>(*ctx, "table");
    auto* context = LoadPointer<TensorContext>(*ctx, "context");
    const OperationScope operation("embedding", -1, Microbatch(*context));
    at::Tensor dy = grads[0].contiguous();
    if (context->sequence) dy = GatherSequence(dy, *context->group, context->At("embedding", -1));
    EmbeddingBackward(dy, tokens, *table, table->spec().shard_begin);
    return {at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct LossArguments {
  double scale, gradient_scale;
  int64_t block_bytes;
};

// One pass over blocks of rows: logits, loss, and, when asked, the gradients. Products are made in `product_`
// (a 16-bit type, where it has instructions), everything on the rows of logits in `wide_`: fp32, or fp64.
class LossPass {
 public:
  LossPass(const at::Tensor& x, const at::Tensor& targets, Parameter& weight, const LossArguments& arguments,
           const TensorContext& context)
      : rows_(x.reshape({-1, x.size(-1)})),
        targets_(targets.reshape({-1})),
        weight_(weight),
        product_(ProductType(x)),
        wide_(at::toOpMathType(x.scalar_type())),
        value_(weight.value().to(product_)),
        arguments_(arguments),
        context_(context),
        shard_{weight.spec().shard_begin, weight.spec().shard_length},
        block_rows_(std::max<int64_t>(
            1, arguments.block_bytes / (value_.size(0) * static_cast<int64_t>(c10::elementSize(wide_))))) {}

  // Sum of scale * loss, a scalar in fp64 where x is, so that nobody waits for it here. With `dx` defined
  // ([N, H]), also fills it and adds to the weight's gradient.
  at::Tensor Run(const at::Tensor& dx) {
    at::Tensor total = at::zeros({}, rows_.options().dtype(at::kDouble).requires_grad(false));
    for (int64_t begin = 0; begin < rows_.size(0); begin += block_rows_) {
      total += Block(begin, std::min(block_rows_, rows_.size(0) - begin), dx);
    }
    return total.mul_(arguments_.scale);
  }

 private:
  at::Tensor Block(int64_t begin, int64_t count, const at::Tensor& dx) {
    const at::Tensor x = rows_.narrow(0, begin, count).to(product_),
                     targets = targets_.narrow(0, begin, count);
    const at::Tensor product = LinearForward(x, value_, {});  // [count, V/t]
    const at::Tensor logits = product.to(wide_);              // the same memory where the dtype is
    const at::Tensor maxima = RowMaxima(logits, shard_);
    context_.group->AllReduce(maxima, ReduceOp::kMax, context_.At("loss.max", -1));
    const at::Tensor sums = ExponentiateRows(logits, maxima, targets, shard_);
    context_.group->AllReduce(sums, ReduceOp::kSum, context_.At("loss.sum", -1));
    if (dx.defined()) {
      GradientRows(logits, sums[0], targets, shard_, arguments_.scale * arguments_.gradient_scale);
      if (!product.is_same(logits)) product.copy_(logits);
      dx.narrow(0, begin, count).copy_(MatMul(product, value_));
      AddProductToGrad(product.t(), x, weight_);
    }
    return sums[0].log().sub_(sums[1]).sum(at::kDouble);
  }

  at::Tensor rows_, targets_;
  Parameter& weight_;
  at::ScalarType product_, wide_;
  at::Tensor value_;
  LossArguments arguments_;
  const TensorContext& context_;
  VocabShard shard_;
  int64_t block_rows_;
};

struct LossFunction : torch::autograd::Function<LossFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& targets,
                            Parameter* weight, const LossArguments& arguments, const TensorContext* context,
                            bool needs_grad) {
    const OperationScope operation("loss", -1, Microbatch(*context));
    const at::Tensor whole = context->sequence
                                 ? GatherSequence(x, *context->group, context->At("loss.input", -1))
                                 : x.contiguous();
    const at::Tensor dx = needs_grad
                              ? at::empty({whole.numel() / whole.size(-1), whole.size(-1)}, whole.options())
                              : at::Tensor();
    const at::Tensor loss = LossPass(whole, targets, *weight, arguments, *context).Run(dx);
    if (needs_grad) ctx->save_for_backward({dx.view(whole.sizes())});
    SavePointer(*ctx, "weight", weight);
    SavePointer(*ctx, "context", const_cast<TensorContext*>(context));
    return loss;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    // On a GPU the question would wait for all of forward.
    TORCH_CHECK(!grads[0].device().is_cpu() || grads[0].item<double>() == 1.0,
                "the loss is the root of backward: its gradient is 1");
    at::Tensor dx = ctx->get_saved_variables()[0];
    auto* weight = LoadPointer<Parameter>(*ctx, "weight");
    auto* context = LoadPointer<TensorContext>(*ctx, "context");
    const OperationScope operation("loss", -1, Microbatch(*context));
    const Label label = context->At("loss.input", -1);
    if (context->sequence) {
      dx = ReduceScatterSequence(dx, *context->group, label);
      weight->ContributionDone();
    } else {
      Work reduced = context->group->AllReduceAsync(dx, ReduceOp::kSum, label);
      weight->ContributionDone();
      reduced.Wait();
    }
    return {dx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor VocabularyEmbedding(const at::Tensor& tokens, const at::Tensor& anchor, Parameter& table,
                               const TensorContext& context) {
  return EmbeddingFunction::apply(anchor, tokens, &table, &context);
}

at::Tensor VocabularyLoss(const at::Tensor& x, const at::Tensor& targets, Parameter& weight, double scale,
                          const TensorContext& context, double gradient_scale, int64_t block_bytes) {
  const bool needs_grad = x.requires_grad() && c10::GradMode::is_enabled();
  return LossFunction::apply(x, targets, &weight, LossArguments{scale, gradient_scale, block_bytes}, &context,
                             needs_grad);
}

at::Tensor VocabularyLogits(const at::Tensor& x, const Parameter& weight, const TensorContext& context) {
  const OperationScope operation("logits", -1, Microbatch(context));
  const at::Tensor local = LinearForward(x, weight.value(), {});  // [B, V/t]
  const int64_t t = context.group->size(), batch = x.size(0);
  at::Tensor shards = at::empty({t, batch, local.size(1)}, local.options());
  context.group->AllGather(shards, local, context.At("logits", -1));
  return shards.permute({1, 0, 2}).reshape({batch, -1}).narrow(1, 0, weight.spec().shape[0]);
}

}  // namespace orthant
