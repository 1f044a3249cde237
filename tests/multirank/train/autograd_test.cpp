// The whole model on one rank against a plain GPT-2 under LibTorch's autograd: loss, every gradient, logits.
#include <gtest/gtest.h>

#include "c10/core/GradMode.h"
#include "gpt2_reference.h"
#include "orthant/train/comparison.h"
#include "support/ranks.h"

namespace orthant {
namespace {

constexpr int64_t kVocab = 23;
constexpr double kTolerance = 1e-10;

RunConfig Config() {
  RunConfig c;
  c.model.layers = 3;
  c.model.heads = 4;
  c.model.hidden = 24;
  c.model.context = 12;
  c.model.bias = true;
  c.model.dropout = 0.0;
  c.model.init_std = 0.3;  // large enough that softmax and GELU are far from linear
  c.train.global_batch = 6;
  c.train.micro_batch = 2;
  c.train.dtype = "fp64";
  return c;
}

// Three microbatches of two samples, with tokens that come more than once.
std::vector<Batch> Batches(const RunConfig& c) {
  at::Generator generator = at::detail::createCPUGenerator(5);
  const at::Tensor tokens = at::randint(kVocab, {c.train.global_batch, c.model.context + 1}, generator,
                                        at::TensorOptions(at::kLong));
  std::vector<Batch> batches;
  for (int64_t row = 0; row < c.train.global_batch; row += c.train.micro_batch) {
    const at::Tensor part = tokens.narrow(0, row, c.train.micro_batch);
    Batch batch;
    batch.inputs = part.narrow(1, 0, c.model.context).contiguous();
    batch.targets = part.narrow(1, 1, c.model.context).contiguous();
    batch.rows = {row, row + 1};
    batch.samples = {row, row + 1};
    batches.push_back(batch);
  }
  return batches;
}

// Biases and norms start at 0 and 1, where a wrong gradient could hide: every parameter moves off its start.
void Perturb(const std::vector<ShardedUnit*>& units) {
  at::Generator generator = at::detail::createCPUGenerator(9);
  for (ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      const at::Tensor value = parameter->value();
      value.add_(at::randn(value.sizes(), generator, at::TensorOptions(at::kDouble)) * 0.1);
    }
  }
}

at::Tensor Stack(const std::vector<Batch>& batches, at::Tensor Batch::*member) {
  std::vector<at::Tensor> parts;
  for (const Batch& batch : batches) parts.push_back(batch.*member);
  return at::cat(parts);
}

void CompareWithReference(const RunConfig& config) {
  testing::RunRanks(1, [&](Communicator& world) {
    ParallelModel model(config, Mesh(Degrees{}), kVocab, world);
    Perturb(model.units());
    testing::Gpt2Reference reference(config.model, CopyTensors(model.units(), What::kValue));
    const std::vector<Batch> batches = Batches(config);

    ExecutorStats stats;
    const double loss = model.ForwardBackward(1, batches, 1.0, &stats);
    model.ReduceGradients();
    const double expected =
        reference.Backward(Stack(batches, &Batch::inputs), Stack(batches, &Batch::targets));
    EXPECT_NEAR(loss, expected, kTolerance * expected);

    const LogicalTensors gradients = CopyTensors(model.units(), What::kGradient);
    EXPECT_EQ(gradients.size(), reference.leaves().size());
    for (const auto& [name, leaf] : reference.leaves()) {
      const at::Tensor& wanted = leaf.grad();
      ASSERT_TRUE(wanted.defined()) << name;
      const double scale = wanted.abs().max().item<double>();
      EXPECT_GT(scale, 1e-6) << name << ": a gradient that vanishes proves nothing";
      EXPECT_LT((gradients.at(name) - wanted).abs().max().item<double>(), kTolerance * scale) << name;
    }

    EXPECT_NEAR(model.EvaluateLoss(batches), expected * static_cast<double>(config.train.global_batch * 12),
                1e-10 * expected * 72);
    const c10::NoGradGuard no_grad;
    const at::Tensor window = batches[1].inputs.narrow(0, 1, 1);
    const at::Tensor logits = reference.Logits(window)[0];
    for (int64_t position : {0, 5, 11}) {
      EXPECT_TRUE(at::allclose(model.NextTokenLogits(window, position), logits[position], 1e-10, 1e-12))
          << position;
    }
  });
}

TEST(Autograd, TiedWithBias) {
  CompareWithReference(Config());
}

TEST(Autograd, UntiedWithBias) {
  RunConfig c = Config();
  c.model.tie_embeddings = false;
  CompareWithReference(c);
}

TEST(Autograd, TiedWithoutBiasTanhGelu) {
  RunConfig c = Config();
  c.model.bias = false;
  c.model.activation = "gelu_tanh";
  CompareWithReference(c);
}

TEST(Autograd, UntiedWithoutBiasOneHeadOtherEpsilon) {
  RunConfig c = Config();
  c.model.tie_embeddings = false;
  c.model.bias = false;
  c.model.heads = 1;
  c.model.norm_eps = 0.05;
  CompareWithReference(c);
}

// Attention's explicit path (taken under dropout) has its own formulas. A dropout so rare that no element
// falls leaves the scale 1 / (1 - p) as the only difference, which is below the tolerance.
TEST(Autograd, ExplicitAttentionIsTheFusedOne) {
  RunConfig c = Config();
  c.model.dropout = 1e-15;
  CompareWithReference(c);
}

}  // namespace
}  // namespace orthant
