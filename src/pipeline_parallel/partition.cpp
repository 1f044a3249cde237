#include "orthant/pipeline_parallel/partition.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

std::string List(const std::vector<int64_t>& values) {
  return absl::StrCat("[", absl::StrJoin(values, ", "), "]");
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> PartitionLayers(int64_t layers, int64_t stages, double embedding_cost,
                                                     double head_cost) {
  if (stages < 1 || layers < stages) {
    return ConfigurationError(
        absl::StrCat("model.layers = ", layers, " over parallel.pipeline = ", stages,
                     " stages: each stage needs at least one layer; nearest legal: ",
                     layers < 1   ? absl::StrCat("model.layers = ", stages)
                     : stages < 1 ? "parallel.pipeline = 1"
                                  : absl::StrCat("parallel.pipeline = ", layers, " (1 to ", layers, ")")));
  }
  if (!(embedding_cost >= 0) || !(head_cost >= 0) || std::isinf(embedding_cost) || std::isinf(head_cost)) {
    return ConfigurationError(absl::StrCat("The embedding's cost ", embedding_cost, " and the head's cost ",
                                           head_cost,
                                           " must be finite and at least 0 (in units of one layer)."));
  }
  std::vector<int64_t> split(stages, 1);
  std::vector<double> fixed(stages, 0.0);
  fixed.front() += embedding_cost;
  fixed.back() += head_cost;
  // Each further layer goes to the cheapest stage. Since all layers cost the same, this greedy choice gives
  // the split whose sorted costs are majorised by every other's: least maximum and least sum of squares at
  // once.
  for (int64_t rest = layers - stages; rest > 0; --rest) {
    int64_t cheapest = stages - 1;
    for (int64_t s = stages - 2; s >= 0; --s) {
      const double cost = static_cast<double>(split[s]) + fixed[s];
      if (cost < static_cast<double>(split[cheapest]) + fixed[cheapest]) cheapest = s;
    }
    ++split[cheapest];
  }
  return split;
}

absl::Status ValidateStages(const std::vector<int64_t>& layers_per_stage, int64_t layers, int64_t stages) {
  const absl::StatusOr<std::vector<int64_t>> legal = PartitionLayers(layers, stages, 0, 0);
  if (!legal.ok()) return legal.status();
  const std::string shown = absl::StrCat("parallel.stages = ", List(layers_per_stage));
  const std::string nearest = absl::StrCat("; legal: ", List(*legal));
  if (static_cast<int64_t>(layers_per_stage.size()) != stages) {
    return ConfigurationError(absl::StrCat(shown, " lists ", layers_per_stage.size(),
                                           " stages, but parallel.pipeline = ", stages, nearest));
  }
  int64_t sum = 0;
  for (size_t s = 0; s < layers_per_stage.size(); ++s) {
    if (layers_per_stage[s] < 1 || layers_per_stage[s] > layers) {
      return ConfigurationError(absl::StrCat(shown, " gives stage ", s, " ", layers_per_stage[s],
                                             " layers; each needs 1 to ", layers - stages + 1, nearest));
    }
    sum += layers_per_stage[s];
  }
  if (sum != layers) {
    return ConfigurationError(
        absl::StrCat(shown, " holds ", sum, " layers, but model.layers = ", layers, nearest));
  }
  return absl::OkStatus();
}

}  // namespace orthant
