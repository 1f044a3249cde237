// What the ranks of a run hold and send, measured by their accounts and communicators: for tests and
// benchmarks.
#pragma once

#include <array>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "orthant/core/status.h"
#include "orthant/memory/account.h"
#include "orthant/train/engine.h"
#include "orthant/train/trainer.h"

namespace orthant::testing {

struct RankMemory {
  TagBytes steady{};  // after the last step
  MemoryPeak peak;    // since the rank was bound to its account
  StepPhase peak_phase = StepPhase::kSetup;
  std::array<int64_t, kAxisCount> sent{};  // in the last step, by axis
  double seconds = 0.0;                    // of the last step
};

// A model without dropout or biases on synthetic data; one step of 2 microbatches on one rank.
inline RunConfig MemoryRun(int64_t layers, int64_t heads, int64_t hidden, int64_t context, int64_t vocab) {
  RunConfig c;
  c.model.layers = layers;
  c.model.heads = heads;
  c.model.hidden = hidden;
  c.model.context = context;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = vocab;
  c.data.prefetch = false;
  c.train.micro_batch = 1;
  c.train.global_batch = 2;
  return c;
}

// This rank's part of `steps` steps of `run`, whose mesh is all of `world`. Collective.
inline RankMemory MeasureRank(const PreparedRun& run, Communicator& world, int64_t steps) {
  const std::shared_ptr<MemoryAccount> account = MemoryAccount::Create(run.config.memory.limit);
  const BindMemory bound(account);
  RankMemory measured;
  Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
  for (int64_t step = 1; step <= steps; ++step) {
    const auto before = engine.model().groups().BytesSent();
    const StepResult result = engine.Step();
    const auto after = engine.model().groups().BytesSent();
    for (size_t a = 0; a < after.size(); ++a) measured.sent[a] = after[a] - before[a];
    measured.seconds = result.seconds;
  }
  measured.steady = account->current();
  measured.peak = account->peak();
  for (int p = 0; p < kStepPhases; ++p) {
    const auto phase = static_cast<StepPhase>(p);
    if (account->peak(phase).device_bytes == measured.peak.device_bytes) measured.peak_phase = phase;
  }
  return measured;
}

inline PreparedRun PrepareOrThrow(const RunConfig& config) {
  absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  if (!run.ok()) throw StatusError(run.status());
  return *std::move(run);
}

// What this rank keeps for backward after one forward of a microbatch through all blocks: kActivations of a
// one-stage mesh, the embedding's share included, the loss not. Collective.
inline int64_t MeasureActivations(const RunConfig& c, int64_t vocab, Communicator& world) {
  const Mesh mesh = MakeMesh(c.parallel, world.size()).value();
  const Precision precision = PrecisionOf(c.train);
  const Groups groups = MakeGroups(mesh, 0, world);
  StepPosition position;
  position.step = 1;
  position.microbatch = 0;
  for (int64_t row = 0; row < c.train.micro_batch; ++row) position.rows.push_back(row);
  UnitQueue queue;
  StageContext context;
  context.tensor = {groups.tensor.get(), c.parallel.tensor_sequence, &position};
  context.sequence = groups.sequence.get();
  context.unit.dtype = precision.values;
  context.unit.gradient_dtype = precision.gradients;
  context.unit.reduce_dtype = precision.reduction;
  context.unit.queue = &queue;
  context.unit.tensor = groups.tensor.get();
  context.recompute = RecomputePlanOf(c.memory);
  context.position = &position;
  context.vocab = vocab;
  const std::unique_ptr<StageModel> model = MakeStageModel(c.model, ShareOf(c, vocab, 0), context);
  const at::Tensor tokens =
      at::zeros({c.train.micro_batch, c.model.context / c.parallel.sequence}, at::kLong);

  const std::shared_ptr<MemoryAccount> account = MemoryAccount::Create();
  const BindMemory bound(account);
  const at::Tensor hidden = model->Blocks(model->Embed(tokens));
  account->KeepTemporaries();
  return account->current()[static_cast<size_t>(MemoryTag::kActivations)];
}

}  // namespace orthant::testing
