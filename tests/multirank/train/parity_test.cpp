// The parity matrix: every mesh trains as one rank does - loss, gradient norm, every gradient, every
// parameter - in fp64, on whatever backend this program was built for.
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_join.h"
#include "orthant/train/comparison.h"
#include "orthant/train/verify.h"
#include "support/ranks.h"

namespace orthant {
namespace {

RunConfig Small() {
  RunConfig c;
  c.model.layers = 3;  // uneven on two stages
  c.model.heads = 4;
  c.model.hidden = 16;
  c.model.context = 16;
  c.model.bias = true;
  c.model.dropout = 0.1;
  c.train.steps = 8;
  c.train.global_batch = 8;
  c.train.micro_batch = 1;
  c.train.dtype = "fp64";
  c.optimizer.warmup = 2;
  c.optimizer.lr = 3e-3;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 29;  // padded on two tensor ranks and on four
  c.data.synthetic_tokens = 4000;
  c.data.prefetch = false;
  c.zero.offload.path = (std::filesystem::temp_directory_path() / "orthant-parity").string();
  return c;
}

PreparedRun Prepared(const RunConfig& config) {
  absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  if (!run.ok()) throw std::runtime_error(std::string(run.status().message()));
  return *std::move(run);
}

std::string Describe(const Layout& layout) {
  const ParallelConfig& p = layout.parallel;
  return ToString(p.degrees()) + " " + p.schedule + " zero=" + std::to_string(p.zero) +
         (p.tensor_sequence ? " tensor_sequence " : " ") + absl::StrJoin(Extras(layout), " ");
}

// Every legal combination of exactly `ranks` ranks, or every `stride`-th of them.
void CheckAll(const RunConfig& config, int ranks, int stride) {
  if (ranks > testing::MaxRanks()) GTEST_SKIP() << "needs " << ranks << " ranks";
  RunConfig one = config;
  one = With(one, Layout{});
  const Reference reference = RunReference(Prepared(one), 2);
  int64_t index = 0, checked = 0;
  for (const Layout& layout : LegalLayouts(config, ranks)) {
    if (layout.parallel.degrees().world() != ranks || index++ % stride != 0) continue;
    const PreparedRun run = Prepared(With(config, layout));
    testing::RunRanks(ranks, [&](Communicator& world) {
      const Differences differences = CompareRank(run, reference, world);
      EXPECT_EQ(differences.first_name(), "") << Describe(layout) << " differs by " << differences.first();
    });
    ++checked;
  }
  EXPECT_GT(checked, 0);
}

TEST(Parity, TwoRanksTied) {
  CheckAll(Small(), 2, 1);
}

TEST(Parity, TwoRanksUntiedWithoutBias) {
  RunConfig c = Small();
  c.model.tie_embeddings = false;
  c.model.bias = false;
  c.model.activation = "gelu_tanh";
  CheckAll(c, 2, 1);
}

TEST(Parity, ThreeStages) {
  RunConfig c = Small();
  c.parallel.pipeline = 3;
  c.parallel.stages = {1, 1, 1};
  CheckAll(c, 3, 1);
}

TEST(Parity, FourRanksTied) {
  CheckAll(Small(), 4, 2);
}

TEST(Parity, FourRanksUntiedWithoutDropout) {
  RunConfig c = Small();
  c.model.tie_embeddings = false;
  c.model.dropout = 0.0;  // the fused attention kernel
  CheckAll(c, 4, 3);
}

TEST(Parity, EightRanks) {
  CheckAll(Small(), 8, 7);
}

TEST(Parity, SixteenRanks) {
  CheckAll(Small(), 16, 11);
}

TEST(Parity, OtherRankOrdersAndMicrobatches) {
  RunConfig c = Small();
  c.parallel.order = {"tensor", "sequence", "data", "pipeline"};
  c.train.micro_batch = 2;
  CheckAll(c, 4, 5);
}

}  // namespace
}  // namespace orthant
