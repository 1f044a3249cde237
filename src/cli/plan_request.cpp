#include "cli/plan_request.h"

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

absl::Status Unknown(const LoadedConfig& loaded, const char* key, const std::string& why,
                     const std::string& nearest) {
  return ConfigurationError(
      absl::StrCat(loaded.Cite(key), ": ", why, "; nearest legal with parallel: auto: ", nearest));
}

// What a run may set and no layout of the planner's has.
absl::Status CheckKnown(const RunConfig& config, const LoadedConfig& loaded, const Machine& machine) {
  const OffloadConfig& offload = config.zero.offload;
  for (const auto& [key, place] : {std::pair{"zero.offload.optimizer", offload.optimizer},
                                   {"zero.offload.parameters", offload.parameters}}) {
    if (place == "nvme") {
      return Unknown(loaded, key, "the planner does not know how long files take",
                     absl::StrCat(key, machine.host_bandwidth > 0 ? "=host" : "=none"));
    }
    if (place != "none" && machine.host_bandwidth == 0) {
      return Unknown(loaded, key,
                     absl::StrCat("the planner does not know how long it takes, for ", machine.name,
                                  " has no performance.host_bandwidth"),
                     absl::StrCat(key, "=none"));
    }
  }
  if (offload.parameters != "none" && offload.optimizer == "none") {
    return Unknown(loaded, "zero.offload.parameters", "the planner offloads the optimizer's state with them",
                   "zero.offload.optimizer=host");
  }
  if (!loaded.IsDefault("parallel.order")) {
    return Unknown(loaded, "parallel.order", "the planner knows ranks in the usual order alone",
                   "leave it out");
  }
  if (config.memory.recompute != "none" && config.memory.recompute_every > 1) {
    return Unknown(loaded, "memory.recompute_every", "the planner knows recompute of every block alone",
                   "memory.recompute_every=1");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FixedChoices> FixedBy(const RunConfig& config, const LoadedConfig& loaded,
                                     const Machine& machine) {
  FixedChoices fixed;
  const auto take = [&loaded](const char* key, const auto& value, auto* choice) {
    if (!loaded.IsDefault(key)) *choice = value;
  };
  const ParallelConfig& p = config.parallel;
  const PlannedLayout written = PlannedLayoutOf(config);
  take("parallel.data", p.data, &fixed.data);
  take("parallel.tensor", p.tensor, &fixed.tensor);
  // The stages' layers, where they are written, say how many stages there are.
  if (!p.stages.empty()) fixed.pipeline = static_cast<int64_t>(p.stages.size());
  take("parallel.pipeline", p.pipeline, &fixed.pipeline);
  take("parallel.sequence", p.sequence, &fixed.sequence);
  take("parallel.zero", p.zero, &fixed.zero);
  take("parallel.schedule", written.schedule, &fixed.schedule);
  take("parallel.tensor_sequence", p.tensor_sequence, &fixed.tensor_sequence);
  take("zero.shard_ranks", config.zero.shard_ranks, &fixed.shard_ranks);
  take("zero.offload.optimizer", config.zero.offload.optimizer != "none", &fixed.offload_optimizer);
  take("zero.offload.parameters", config.zero.offload.parameters != "none", &fixed.offload_parameters);
  take("memory.recompute", written.recompute, &fixed.recompute);
  take("train.micro_batch", config.train.micro_batch, &fixed.micro_batch);
  if (absl::Status known = CheckKnown(config, loaded, machine); !known.ok()) return known;
  return fixed;
}

void LimitMemoryTo(int64_t bytes, SearchRequest* request) {
  Machine& machine = request->machine;
  const double limited = static_cast<double>(bytes) + machine.software().reserve;
  if (bytes <= 0 || (machine.memory_bytes > 0 && machine.memory_bytes <= limited)) return;
  machine.memory_bytes = limited;
  request->limit = bytes;
}

absl::Status CheckNodes(const SearchRequest& request) {
  const Machine& machine = request.machine;
  if (machine.HasNodesFor(request.ranks)) return absl::OkStatus();
  return ConfigurationError(absl::StrCat(
      request.ranks_word, request.ranks, ": ", machine.name, " has one node of ", machine.node_ranks,
      " devices by its file (performance.network_bandwidth is 0); nearest legal: ", machine.node_ranks));
}

}  // namespace orthant
