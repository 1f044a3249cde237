// Whole steps on one GPU against the processor: the same curve in fp64, whatever the memory settings.
#include <gtest/gtest.h>

#include <filesystem>

#include "orthant/comm/local.h"
#include "orthant/device/device.h"
#include "orthant/train/comparison.h"

namespace orthant {
namespace {

RunConfig Small(const std::string& dtype) {
  RunConfig c;
  c.model.layers = 2;
  c.model.heads = 4;
  c.model.hidden = 64;
  c.model.context = 64;
  c.model.bias = true;
  c.model.dropout = 0.1;
  c.train.steps = 8;
  c.train.global_batch = 8;
  c.train.micro_batch = 2;
  c.train.dtype = dtype;
  c.optimizer.warmup = 2;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 61;
  c.data.synthetic_tokens = 8000;
  return c;
}

PreparedRun Prepared(const RunConfig& config) {
  absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  if (!run.ok()) throw std::runtime_error(std::string(run.status().message()));
  return *std::move(run);
}

struct Curve {
  std::vector<double> losses, norms;
};

Curve Train(const RunConfig& config, c10::Device device) {
  const PreparedRun run = Prepared(config);
  Curve curve;
  RunLocal(1, {}, [&](Communicator& world) {
    UseDevice(device);
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world, device);
    for (int step = 0; step < 5; ++step) {
      const StepResult result = engine.Step();
      curve.losses.push_back(result.loss);
      curve.norms.push_back(result.grad_norm);
    }
    curve.losses.push_back(engine.Evaluate(/*validation=*/true, 1));
  });
  return curve;
}

void ExpectAlike(const RunConfig& config, double tolerance) {
  ASSERT_FALSE(FindCudaDevices().visible.empty()) << FindCudaDevices().problem;
  const Curve reference = Train(config, c10::Device(at::kCPU)),
              curve = Train(config, c10::Device(at::kCUDA, 0));
  for (size_t i = 0; i < reference.losses.size(); ++i) {
    EXPECT_NEAR(curve.losses[i] / reference.losses[i], 1.0, tolerance) << "loss " << i;
  }
  for (size_t i = 0; i < reference.norms.size(); ++i) {
    EXPECT_NEAR(curve.norms[i] / reference.norms[i], 1.0, tolerance) << "norm " << i;
  }
}

TEST(GpuTraining, TheCurveInDoublePrecision) {
  ExpectAlike(Small("fp64"), 1e-9);
}

TEST(GpuTraining, WithoutDropoutTheFusedAttentionGivesTheCurve) {
  RunConfig c = Small("fp64");
  c.model.dropout = 0.0;
  ExpectAlike(c, 1e-9);
}

TEST(GpuTraining, WithRecomputeAndShardsInHostMemory) {
  RunConfig c = Small("fp64");
  c.memory.recompute = "full";
  c.parallel.zero = 3;
  c.zero.offload.optimizer = c.zero.offload.parameters = "host";
  ExpectAlike(c, 1e-9);
}

TEST(GpuTraining, WithStateInFiles) {
  RunConfig c = Small("fp64");
  c.parallel.zero = 3;
  c.zero.offload.optimizer = c.zero.offload.parameters = "nvme";
  c.zero.offload.path = (std::filesystem::temp_directory_path() / "orthant-gpu-offload").string();
  ExpectAlike(c, 1e-9);
  std::filesystem::remove_all(c.zero.offload.path);
}

TEST(GpuTraining, InSinglePrecision) {
  ExpectAlike(Small("fp32"), 1e-3);
}

TEST(GpuTraining, InSixteenBits) {
  ExpectAlike(Small("bf16"), 3e-2);
}

}  // namespace
}  // namespace orthant
