// Where a training step's time goes, from samples of every rank: pure arithmetic, and the tables and JSON
// made of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"
#include "orthant/mesh/axis.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

// A rank's step is in one of these at any moment. Communication inside forward and backward (tensor,
// sequence, ZeRO 3's gathers) belongs to them here.
enum class StepPart : int {
  kData,      // waiting for the batch
  kForward,   // of all microbatches
  kBackward,  // recomputed forwards too
  kPipeline,  // waiting for other stages
  kReduce,    // waiting for the gradients' sums
  kOptimizer  // the exchange of loss and norm, clipping, the update, ZeRO's sharing of new values
};
inline constexpr int kStepParts = 6;
std::string_view StepPartName(StepPart part);  // "forward"

// One step of one rank, in seconds; bytes it sent.
struct StepSample {
  double seconds = 0;
  std::array<double, kStepParts> parts{};    // the rest of `seconds` is none of these
  std::array<double, kAxisCount> exposed{};  // CommTime
  std::array<double, kAxisCount> hidden{};   // CommTime
  std::array<double, kAxisCount> sent_bytes{};
};

// Of one figure over the ranks, each rank standing for its median over the steps.
struct OverRanks {
  double median = 0, slowest = 0;
  int64_t slowest_rank = 0;
};

struct StepReport {
  int64_t steps = 0;
  // Of the slowest rank's time of each step.
  double median = 0, min = 0, max = 0, lower_quartile = 0, upper_quartile = 0;
  OverRanks step;
  std::array<OverRanks, kStepParts> parts;
  OverRanks other;  // of the step
  std::array<OverRanks, kAxisCount> exposed, hidden;
  OverRanks computing;                           // the step without what is exposed of all axes
  std::array<int64_t, kAxisCount> sent_bytes{};  // a step, of the rank that sends most
};

// samples[rank][step]: the same number of steps on every rank, one at least.
StepReport Summarize(const std::vector<std::vector<StepSample>>& samples);

// What is known of the run that was timed.
struct StepBenchFacts {
  std::string run, backend, dtype, schedule, peak_source;
  Degrees mesh;
  int zero = 0, threads = 1;
  int64_t warmup = 0, microbatches = 1, global_batch = 1, tokens = 0;  // of a step
  double flops_per_token = 0, peak_flops = 1;                          // model FLOPs; FLOP/s of a rank
  double first_step_seconds = 0;  // from the program's start to the end of the first step
  double first_loss = 0, last_loss = 0;
  int64_t memory_peak_bytes = 0, resident_bytes = 0;  // of the rank that has most; of the process
};

struct StepBenchResult {
  StepBenchFacts facts;
  StepReport report;

  double TokensPerSecond() const { return static_cast<double>(facts.tokens) / report.median; }
  double FlopsPerRank() const;  // model FLOP/s
  double Mfu() const { return FlopsPerRank() / facts.peak_flops; }
};

std::string ToText(const StepBenchResult& result, bool boxes);
nlohmann::ordered_json ToJson(const StepBenchResult& result);
// One line "RESULT {json}" with the keys of the common PyTorch comparison: milliseconds, MiB.
std::string ResultLine(const StepBenchResult& result);

}  // namespace orthant
