// What is known before the start: limits and tiles that cannot work.
#include <algorithm>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/model/stage_plan.h"
#include "orthant/train/memory_advice.h"
#include "orthant/train/parallel_model.h"

namespace orthant {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

std::string Bytes(int64_t bytes) {
  return FormatBinaryBytes(static_cast<double>(bytes));
}

std::string At(const OriginOf& origin, const std::string& key) {
  const std::string where = origin ? origin(key) : "";
  return where.empty() ? "" : where + ": ";
}

// The longest row of a linear's weight, which no tile can be smaller than.
absl::Status CheckTiles(const RunConfig& c, int64_t vocab, const OriginOf& origin) {
  if (c.zero.tile_bytes == 0) return absl::OkStatus();
  const int64_t element = static_cast<int64_t>(c10::elementSize(PrecisionOf(c.train).values));
  const StagePlan plan = PlanStage(c.model, ShareOf(c, vocab, 0), vocab, c.parallel.tensor, UnitSplit{});
  int64_t widest = 0;
  std::string name;
  for (const UnitPlan& unit : plan.blocks.front()) {
    for (const ParameterSpec& spec : unit.specs) {
      const int64_t row = spec.linear ? spec.LocalShape().back() * element : 0;
      if (row <= widest) continue;
      widest = row;
      name = spec.name;
    }
  }
  if (c.zero.tile_bytes >= widest) return absl::OkStatus();
  return ConfigurationError(
      absl::StrCat(At(origin, "zero.tile_bytes"), "zero.tile_bytes = ", c.zero.tile_bytes,
                   " must hold at least one row of ", name, ", ", widest / element, " elements x ", element,
                   " bytes = ", widest, "; nearest legal: ", widest));
}

// A unit whole, as a step must hold it beside what stays.
struct Whole {
  const UnitEstimate* unit = nullptr;
  int64_t values = 0, gradients = 0;
  int64_t bytes() const { return values + gradients; }
};

Whole LargestWhole(const StageEstimate& stage, const RunConfig& c) {
  const Precision precision = PrecisionOf(c.train);
  Whole largest;
  for (const UnitEstimate& unit : stage.units) {
    Whole whole;
    whole.unit = &unit;
    const bool gathered = c.parallel.zero >= 3, made = c.parallel.zero >= 2;
    whole.values = gathered ? unit.elements * static_cast<int64_t>(c10::elementSize(precision.values)) : 0;
    whole.gradients = made ? unit.elements * static_cast<int64_t>(c10::elementSize(precision.gradients)) : 0;
    if (largest.unit == nullptr || whole.bytes() > largest.bytes()) largest = whole;
  }
  return largest;
}

}  // namespace

absl::Status CheckMemoryLimit(const RunConfig& config, int64_t vocab, const OriginOf& origin) {
  if (absl::Status tiles = CheckTiles(config, vocab, origin); !tiles.ok()) return tiles;
  const int64_t limit = config.memory.limit;
  if (limit == 0) return absl::OkStatus();
  const MemoryEstimate estimate = EstimateMemory(config, vocab);
  for (size_t s = 0; s < estimate.stages.size(); ++s) {
    const StageEstimate& stage = estimate.stages[s];
    const Whole whole = LargestWhole(stage, config);
    const int64_t states = DeviceBytes(stage.steady);
    if (states + whole.bytes() <= limit) continue;
    std::string need = absl::StrCat(Bytes(states), " of model states");
    if (whole.bytes() > 0) {
      absl::StrAppend(&need, " + ", Bytes(whole.bytes()), " for ",
                      whole.values > 0 ? "the values and the gradient" : "the gradient", " of the unit ",
                      whole.unit->name, " whole = ", Bytes(states + whole.bytes()));
    }
    return ConfigurationError(absl::StrCat(
        At(origin, "memory.limit"), "memory.limit = ", Bytes(limit), " is too small for a rank of stage ", s,
        ": it holds ", need, " before any activation; nearest legal: ", (estimate.peak_bytes() + kMiB) / kMiB,
        "MiB, what the whole step needs by estimate\n", AdviceText(config, vocab)));
  }
  return absl::OkStatus();
}

}  // namespace orthant
