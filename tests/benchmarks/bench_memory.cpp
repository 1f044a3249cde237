// The tables of docs/memory.md, in Markdown: bench_memory states | zero-paper | activations | traffic |
// estimate Ranks are threads of this process, data is synthetic; figures are those of the ranks' accounts and
// communicators.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>

#include "ATen/ATen.h"
#include "absl/strings/str_format.h"
#include "orthant/comm/local.h"
#include "orthant/core/process.h"
#include "orthant/model/activation_bytes.h"
#include "orthant/train/memory_estimate.h"
#include "support/measure_memory.h"
#include "support/memory_theory.h"

namespace orthant::testing {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

// The ranks of a run after `steps` steps.
std::vector<RankMemory> Measure(const PreparedRun& run, int64_t steps) {
  std::vector<RankMemory> ranks(static_cast<size_t>(run.mesh.world()));
  RunLocal(static_cast<int>(run.mesh.world()), {.threads_per_rank = 1},
           [&](Communicator& world) { ranks[world.rank()] = MeasureRank(run, world, steps); });
  return ranks;
}

int64_t ModelStates(const TagBytes& held) {
  int64_t sum = 0;
  for (const MemoryTag tag : {MemoryTag::kParameters, MemoryTag::kGradients, MemoryTag::kOptimizer}) {
    sum += held[static_cast<size_t>(tag)];
  }
  return sum;
}

// One line of the table of states: the worst stage.
void StatesRow(const ParallelConfig& mesh, int zero, const char* dtype) {
  RunConfig c = MemoryRun(/*layers=*/4, /*heads=*/6, /*hidden=*/252, /*context=*/64, /*vocab=*/2003);
  c.model.bias = true;  // odd sizes, so that there is padding
  c.parallel = mesh;
  c.parallel.zero = zero;
  c.train.dtype = dtype;
  c.train.gradient_dtype = "same";
  c.train.global_batch = mesh.data;
  const PreparedRun run = PrepareOrThrow(c);
  const MemoryEstimate estimate = EstimateMemory(c, run.vocab);
  const std::vector<RankMemory> ranks = Measure(run, 1);
  const int64_t ways = int64_t{mesh.data} * mesh.sequence;
  size_t worst = 0;
  for (size_t r = 0; r < ranks.size(); ++r) {
    if (ModelStates(ranks[r].steady) > ModelStates(ranks[worst].steady)) worst = r;
  }
  int64_t bare = 0, padded = 0;
  const int64_t stage = run.mesh.CoordinateOf(static_cast<int64_t>(worst)).pipeline;
  for (const UnitEstimate& unit : estimate.stages[static_cast<size_t>(stage)].units) {
    bare += unit.parameters;
    padded += unit.elements;
  }
  const StateSizes sizes = StateSizesOf(c.train);
  const double formula = StateBytes(static_cast<double>(bare), sizes, zero, static_cast<double>(ways));
  const auto measured = static_cast<double>(ModelStates(ranks[worst].steady));
  absl::PrintF("| %s | %d | %d x %d x %d | %d | %.3f | %.3f | %.3f %% | %.3f %% |\n", dtype, zero, mesh.data,
               mesh.tensor, mesh.pipeline, bare, formula / kMiB, measured / kMiB,
               100.0 * (measured / formula - 1.0),
               100.0 * (static_cast<double>(padded) / static_cast<double>(bare) - 1.0));
}

void States() {
  absl::PrintF(
      "| dtype | `parallel.zero` | data x tensor x pipeline | P of the rank's model share | formula, MiB | "
      "measured, MiB | "
      "difference | padding of units |\n|---|---|---|---|---|---|---|---|\n");
  for (const char* dtype : {"bf16", "fp32"}) {
    for (int zero = 0; zero <= 3; ++zero) {
      for (const int data : {1, 2, 4, 8, 16}) StatesRow({.data = data}, zero, dtype);
      StatesRow({.data = 4, .tensor = 2}, zero, dtype);
      StatesRow({.data = 4, .pipeline = 2}, zero, dtype);
      StatesRow({.data = 2, .tensor = 2, .pipeline = 2}, zero, dtype);
    }
  }
}

// Table 1 of the ZeRO paper, by the same function as the check above.
void ZeroPaper() {
  const double p = 7.5e9;
  const StateSizes sizes{.value = 2, .gradient = 2, .optimizer = 12};
  absl::PrintF("| N | stage 1: 4P + 12P/N | stage 2: 2P + 14P/N | stage 3: 16P/N |\n|---|---|---|---|\n");
  for (const int n : {1, 4, 16, 64, 256, 1024}) {
    absl::PrintF("| %d |", n);
    for (int zero = 1; zero <= 3; ++zero) absl::PrintF(" %.4g GB |", StateBytes(p, sizes, zero, n) / 1e9);
    absl::PrintF("\n");
  }
}

// Bytes a layer by arXiv 2205.05198 (Table 2), 16-bit with dropout: t tensor degree.
double Megatron(const RunConfig& c, const std::string& recompute) {
  const auto s = static_cast<double>(c.model.context), b = static_cast<double>(c.train.micro_batch);
  const auto h = static_cast<double>(c.model.hidden), a = static_cast<double>(c.model.heads);
  const double t = c.parallel.tensor, sbh = s * b * h;
  if (recompute == "full") return 2.0 * sbh;
  const double core = recompute == "none" ? 5.0 * a * s / h : 0.0;
  return c.parallel.tensor_sequence ? sbh / t * (34.0 + core) : sbh * (10.0 + 24.0 / t + core / t);
}

// The best step of each run, the runs taken in turn so that a busy machine is unkind to all alike.
std::vector<double> BestSeconds(const std::vector<RunConfig>& configs) {
  std::vector<double> best(configs.size(), 1e9);
  for (int round = 0; round < 4; ++round) {
    for (size_t i = 0; i < configs.size(); ++i) {
      best[i] = std::min(best[i], Measure(PrepareOrThrow(configs[i]), 2)[0].seconds);
    }
  }
  return best;
}

void Activations() {
  absl::PrintF(
      "| tensor | `tensor_sequence` | dropout | `memory.recompute` | our count, MiB | measured, MiB | "
      "2205.05198, MiB | "
      "step |\n|---|---|---|---|---|---|---|---|\n");
  for (const bool dropout : {true, false}) {
    for (const int way : {0, 1, 2}) {
      const std::vector<std::string> kinds = {"none", "selective", "full"};
      std::vector<RunConfig> configs;
      for (const std::string& recompute : kinds) {
        RunConfig c = MemoryRun(/*layers=*/2, /*heads=*/8, /*hidden=*/512, /*context=*/512, /*vocab=*/256);
        c.train.dtype = "bf16";
        c.train.micro_batch = c.train.global_batch = 2;
        c.model.dropout = dropout ? 0.1 : 0.0;
        c.parallel.tensor = way == 0 ? 1 : 2;
        c.parallel.tensor_sequence = way == 2;
        c.memory.recompute = recompute;
        configs.push_back(c);
      }
      const std::vector<double> seconds = BestSeconds(configs);
      for (size_t k = 0; k < kinds.size(); ++k) {
        const std::string& recompute = kinds[k];
        const RunConfig& c = configs[k];
        RunConfig more = c;
        ++more.model.layers;
        int64_t measured = 0;
        RunLocal(c.parallel.tensor, {.threads_per_rank = 1}, [&](Communicator& world) {
          const int64_t kept = MeasureActivations(more, 256, world) - MeasureActivations(c, 256, world);
          if (world.rank() == 0) measured = kept;
        });
        const ActivationShape shape = ShapeOf(c.model, c.train.micro_batch, c.parallel.tensor, 1,
                                              c.parallel.tensor_sequence, at::kBFloat16);
        const int64_t counted = SumOf(SavedByBlock(shape, RecomputePlanOf(c.memory).kind));
        absl::PrintF("| %d | %s | %s | %s | %.3f | %.3f | %s | %.2f |\n", c.parallel.tensor,
                     way == 2 ? "yes" : "no", dropout ? "0.1" : "0", recompute,
                     static_cast<double>(counted) / kMiB, static_cast<double>(measured) / kMiB,
                     dropout ? absl::StrFormat("%.3f", Megatron(c, recompute) / kMiB) : "-",
                     seconds[k] / seconds[0]);
      }
    }
  }
}

void Traffic() {
  absl::PrintF(
      "| `parallel.zero` | release | microbatches | dtype | theory, data axis, bytes | counted | difference "
      "| against one "
      "all-reduce of gradients |\n|---|---|---|---|---|---|---|---|\n");
  for (const char* dtype : {"fp32", "bf16"}) {
    for (int zero = 0; zero <= 3; ++zero) {
      for (const bool release : {true, false}) {
        if (zero < 3 && !release) continue;
        for (const int64_t microbatches : {1, 4}) {
          RunConfig c = MemoryRun(/*layers=*/4, /*heads=*/4, /*hidden=*/128, /*context=*/32, /*vocab=*/300);
          c.model.tie_embeddings = false;
          c.parallel.data = 4;
          c.parallel.zero = zero;
          c.zero.release_after_forward = release;
          c.train.dtype = dtype;
          c.train.gradient_dtype = "same";
          c.train.global_batch = 4 * microbatches;
          const PreparedRun run = PrepareOrThrow(c);
          const std::vector<UnitEstimate> units = EstimateMemory(c, run.vocab).stages.front().units;
          int64_t elements = 0;
          for (const UnitEstimate& unit : units) elements += unit.elements;
          const int64_t theory = DataTraffic(units, c);
          const int64_t counted = Measure(run, 2)[0].sent[static_cast<size_t>(Axis::kData)];
          const double once =
              2.0 * 3.0 / 4.0 * static_cast<double>(elements * StateSizesOf(c.train).gradient);
          absl::PrintF("| %d | %s | %d | %s | %d | %d | %d | %.3f |\n", zero,
                       zero < 3  ? "-"
                       : release ? "yes"
                                 : "no",
                       microbatches, dtype, theory, counted, counted - theory,
                       static_cast<double>(counted) / once);
        }
      }
    }
  }
}

struct Way {
  const char* name;
  std::function<void(RunConfig&)> change;
};

void Estimate() {
  const std::vector<Way> ways = {
      {"defaults", [](RunConfig&) {}},
      {"`parallel.zero=1`", [](RunConfig& c) { c.parallel.zero = 1; }},
      {"`parallel.zero=2`", [](RunConfig& c) { c.parallel.zero = 2; }},
      {"`parallel.zero=3`", [](RunConfig& c) { c.parallel.zero = 3; }},
      {"`parallel.zero=3 zero.release_after_forward=false`",
       [](RunConfig& c) { c.parallel.zero = 3, c.zero.release_after_forward = false; }},
      {"`parallel.zero=3 zero.prefetch_bytes=0`",
       [](RunConfig& c) { c.parallel.zero = 3, c.zero.prefetch_bytes = 0; }},
      {"`parallel.zero=3 zero.prefetch_bytes=0 zero.tile_bytes=512KiB`",
       [](RunConfig& c) { c.parallel.zero = 3, c.zero.prefetch_bytes = 0, c.zero.tile_bytes = 512 << 10; }},
      {"`parallel.zero=1 zero.offload.optimizer=host`",
       [](RunConfig& c) { c.parallel.zero = 1, c.zero.offload.optimizer = "host"; }},
      {"`memory.recompute=selective`", [](RunConfig& c) { c.memory.recompute = "selective"; }},
      {"`memory.recompute=full`", [](RunConfig& c) { c.memory.recompute = "full"; }},
      {"`train.micro_batch=1`", [](RunConfig& c) { c.train.micro_batch = 1; }},
      {"`train.dtype=bf16`", [](RunConfig& c) { c.train.dtype = "bf16"; }},
      {"`parallel.zero=3 zero.prefetch_bytes=0 memory.recompute=full`",
       [](RunConfig& c) { c.parallel.zero = 3, c.zero.prefetch_bytes = 0, c.memory.recompute = "full"; }},
  };
  absl::PrintF(
      "| setting | model states, MiB | peak, MiB | host, MiB | predicted peak, MiB | difference |\n"
      "|---|---|---|---|---|---|\n");
  for (const Way& way : ways) {
    RunConfig c = MemoryRun(/*layers=*/8, /*heads=*/8, /*hidden=*/256, /*context=*/256, /*vocab=*/512);
    c.parallel.data = 4;
    c.train.global_batch = 16;
    c.train.micro_batch = 2;
    way.change(c);
    const PreparedRun run = PrepareOrThrow(c);
    const auto predicted = static_cast<double>(EstimateMemory(c, run.vocab).peak_bytes());
    const RankMemory measured = Measure(run, 2)[0];
    const auto peak = static_cast<double>(measured.peak.device_bytes);
    absl::PrintF("| %s | %.1f | %.1f | %.1f | %.1f | %+.2f %% |\n", way.name,
                 static_cast<double>(ModelStates(measured.steady)) / kMiB, peak / kMiB,
                 static_cast<double>(measured.peak.host_bytes) / kMiB, predicted / kMiB,
                 100.0 * (predicted / peak - 1.0));
  }
}

}  // namespace
}  // namespace orthant::testing

int main(int argc, char** argv) {
  CLI::App app("Where memory goes, measured and by formula: Markdown tables.");
  app.require_subcommand(1);
  const auto table = [&](const char* name, const char* what, void (*print)()) {
    app.add_subcommand(name, what)->callback(print);
  };
  using namespace orthant::testing;
  table("states", "model states a rank against the formulas", &States);
  table("zero-paper", "the ZeRO paper's table for 7.5B parameters, by formula", &ZeroPaper);
  table("activations", "what a layer keeps, measured, counted and by arXiv 2205.05198", &Activations);
  table("traffic", "bytes sent on the data axis against theory", &Traffic);
  table("estimate", "settings: what each holds, and the prediction", &Estimate);
  orthant::KeepFreedMemory();
  CLI11_PARSE(app, argc, argv);
  return 0;
}
