#include "cli/plan_request.h"

#include "absl/strings/str_cat.h"
#include "cli/plan.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

PlanModel ModelOf(const ModelConfig& m, int64_t vocab) {
  PlanModel model;
  model.family = m.family;
  model.layers = m.layers;
  model.heads = m.heads;
  model.hidden = m.hidden;
  model.context = m.context;
  model.vocab = vocab;
  model.bias = m.bias;
  model.dropout = m.dropout;
  model.tie_embeddings = m.tie_embeddings;
  return model;
}

Recompute RecomputeNamed(const std::string& name) {
  return name == "full" ? Recompute::kFull : name == "selective" ? Recompute::kSelective : Recompute::kNone;
}

}  // namespace

absl::StatusOr<Workload> WorkloadOf(const RunConfig& config) {
  const absl::StatusOr<int64_t> vocab = VocabularyOf(config);
  if (!vocab.ok()) return vocab.status();
  Workload workload;
  workload.model = ModelOf(config.model, *vocab);
  workload.global_batch = config.train.global_batch;
  workload.dtype = config.train.dtype;
  workload.precision = PrecisionOfDtype(config.train.dtype);
  if (config.train.gradient_dtype == "same") workload.precision.gradient = workload.precision.value;
  if (absl::Status checked = CheckPlanModel(workload.model); !checked.ok()) return checked;
  return workload;
}

absl::StatusOr<FixedChoices> FixedBy(const RunConfig& config, const LoadedConfig& loaded) {
  FixedChoices fixed;
  const auto take = [&loaded](const char* key, const auto& value, auto* choice) {
    if (!loaded.IsDefault(key)) *choice = value;
  };
  const ParallelConfig& p = config.parallel;
  take("parallel.data", p.data, &fixed.data);
  take("parallel.tensor", p.tensor, &fixed.tensor);
  // The stages' layers, where they are written, say how many stages there are.
  if (!p.stages.empty()) fixed.pipeline = static_cast<int64_t>(p.stages.size());
  take("parallel.pipeline", p.pipeline, &fixed.pipeline);
  take("parallel.sequence", p.sequence, &fixed.sequence);
  take("parallel.zero", p.zero, &fixed.zero);
  take("parallel.schedule", p.schedule == "gpipe" ? PlanSchedule::kGpipe : PlanSchedule::kOneFOneB,
       &fixed.schedule);
  take("parallel.tensor_sequence", p.tensor_sequence, &fixed.tensor_sequence);
  take("zero.shard_ranks", config.zero.shard_ranks, &fixed.shard_ranks);
  take("zero.offload.optimizer", config.zero.offload.optimizer != "none", &fixed.offload_optimizer);
  take("zero.offload.parameters", config.zero.offload.parameters != "none", &fixed.offload_parameters);
  take("memory.recompute", RecomputeNamed(config.memory.recompute), &fixed.recompute);
  take("train.micro_batch", config.train.micro_batch, &fixed.micro_batch);
  for (const char* key : {"zero.offload.optimizer", "zero.offload.parameters"}) {
    const bool optimizer = std::string(key) == "zero.offload.optimizer";
    const OffloadConfig& offload = config.zero.offload;
    if ((optimizer ? offload.optimizer : offload.parameters) != "nvme") continue;
    return ConfigurationError(
        absl::StrCat(loaded.Cite(key), ": the planner does not know how long files take; nearest legal with ",
                     "parallel: auto: ", key, "=host"));
  }
  return fixed;
}

void LimitMemoryTo(int64_t bytes, Machine* machine) {
  if (bytes > 0) machine->memory_bytes = static_cast<double>(bytes) + machine->software().reserve;
}

absl::Status CheckNodes(const SearchRequest& request) {
  const Machine& machine = request.machine;
  if (request.ranks <= machine.node_ranks || machine.network_bandwidth > 0) return absl::OkStatus();
  return ConfigurationError(absl::StrCat(
      request.ranks_word, request.ranks, ": ", machine.name, " has one node of ", machine.node_ranks,
      " devices by its file (performance.network_bandwidth is 0); nearest legal: ", machine.node_ranks));
}

}  // namespace orthant
