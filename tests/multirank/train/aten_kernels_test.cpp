// Training with the kernels that a GPU runs - LibTorch's - against training with this project's own: the same
// curve, gradients and parameters in fp64. On the processor, where both run.
#include <gtest/gtest.h>

#include "orthant/nn/kernels.h"
#include "orthant/train/comparison.h"
#include "support/ranks.h"

namespace orthant {
namespace {

RunConfig Small() {
  RunConfig c;
  c.model.layers = 2;
  c.model.heads = 4;
  c.model.hidden = 16;
  c.model.context = 16;
  c.model.bias = true;
  c.model.dropout = 0.1;
  c.train.steps = 8;
  c.train.global_batch = 4;
  c.train.micro_batch = 1;
  c.train.dtype = "fp64";
  c.optimizer.warmup = 2;
  c.optimizer.lr = 3e-3;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 29;  // padded on two tensor ranks
  c.data.synthetic_tokens = 4000;
  c.data.prefetch = false;
  return c;
}

PreparedRun Prepared(const RunConfig& config) {
  absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  if (!run.ok()) throw std::runtime_error(std::string(run.status().message()));
  return *std::move(run);
}

void CheckLike(const RunConfig& config) {
  const auto ranks = static_cast<int>(config.parallel.degrees().world());
  if (ranks > testing::MaxRanks()) GTEST_SKIP() << "needs " << ranks << " ranks";
  RunConfig one = config;
  one.parallel = ParallelConfig();
  const Reference reference = RunReference(Prepared(one), 3);
  const PreparedRun run = Prepared(config);
  testing::RunRanks(ranks, [&](Communicator& world) {
    const AtenKernels aten;
    const Differences differences = CompareRank(run, reference, world);
    EXPECT_EQ(differences.first_name(), "") << "differs by " << differences.first();
    EXPECT_LT(differences.largest().numbers, 1e-12);
  });
}

TEST(AtenKernels, TrainOneRankAlike) {
  CheckLike(Small());
}

TEST(AtenKernels, TrainWithTheFusedAttentionAlike) {
  RunConfig c = Small();
  c.model.dropout = 0.0;
  CheckLike(c);
}

TEST(AtenKernels, TrainTensorAndSequenceParallelAlike) {
  RunConfig c = Small();
  c.parallel.tensor = 2;
  c.parallel.sequence = 2;
  c.parallel.tensor_sequence = true;
  c.memory.recompute = "full";
  CheckLike(c);
}

TEST(AtenKernels, TrainStagesAndShardsAlike) {
  RunConfig c = Small();
  c.parallel.pipeline = 2;
  c.parallel.data = 2;
  c.parallel.zero = 3;
  CheckLike(c);
}

}  // namespace
}  // namespace orthant
