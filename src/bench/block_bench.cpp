#include "orthant/bench/block_bench.h"

#include <algorithm>

#include "orthant/bench/step_bench.h"

namespace orthant {
namespace {

constexpr int64_t kMicrobatches = 8, kFewLayers = 2, kMoreLayers = 6;

absl::StatusOr<double> StepSeconds(int64_t layers, Communicator& world, const RankEnvironment& environment) {
  RunConfig config;
  config.model = BlockBenchModel();
  config.model.layers = layers;
  config.parallel.data = world.size();
  config.train.micro_batch = 1;
  config.train.global_batch = kMicrobatches * world.size();
  config.train.dtype = "fp32";
  config.train.device = "cpu";
  config.data.source = "synthetic";
  config.data.synthetic_vocab = config.model.vocab;
  config.log.peak_tflops = 1;  // of no account here, and not measured then
  const absl::StatusOr<PreparedRun> run = PrepareRun(config, [](const std::string&) { return "bench"; });
  if (!run.ok()) return run.status();
  StepBenchOptions options;
  options.started = std::chrono::steady_clock::now();
  options.steps = 12;
  const absl::StatusOr<StepBenchResult> result = BenchStep(*run, options, world, environment, nullptr);
  if (!result.ok()) return result.status();
  return result->report.median;
}

}  // namespace

ModelConfig BlockBenchModel() {
  ModelConfig model;
  model.heads = 4;
  model.hidden = 64;
  model.context = 64;
  model.vocab = 65;
  return model;
}

absl::StatusOr<double> BenchBlock(Communicator& world, const RankEnvironment& environment) {
  const absl::StatusOr<double> few = StepSeconds(kFewLayers, world, environment);
  if (!few.ok()) return few.status();
  const absl::StatusOr<double> more = StepSeconds(kMoreLayers, world, environment);
  if (!more.ok()) return more.status();
  return std::max(0.0, *more - *few) / static_cast<double>(kMicrobatches * (kMoreLayers - kFewLayers));
}

}  // namespace orthant
