#include "cli/plan_workload.h"

#include "cli/plan.h"

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

}  // namespace

absl::StatusOr<Workload> WorkloadOf(const RunConfig& config, const LoadedConfig* loaded) {
  const absl::StatusOr<int64_t> vocab = VocabularyOf(config);
  if (!vocab.ok()) return vocab.status();
  Workload workload;
  workload.model = ModelOf(config.model, *vocab);
  workload.global_batch = config.train.global_batch;
  workload.dtype = config.train.dtype;
  workload.precision = PrecisionOfDtype(config.train.dtype);
  if (config.train.gradient_dtype == "same") workload.precision.gradient = workload.precision.value;
  workload.prefetch_bytes = static_cast<double>(config.zero.prefetch_bytes);
  if (absl::Status checked = CheckPlanModel(workload.model, loaded); !checked.ok()) return checked;
  return workload;
}

PlannedLayout PlannedLayoutOf(const RunConfig& config) {
  const Degrees degrees = config.parallel.degrees();
  PlannedLayout layout;
  layout.data = degrees.data;
  layout.tensor = degrees.tensor;
  layout.pipeline = degrees.pipeline;
  layout.sequence = degrees.sequence;
  layout.schedule = config.parallel.schedule == "gpipe" ? PlanSchedule::kGpipe : PlanSchedule::kOneFOneB;
  layout.zero = config.parallel.zero;
  layout.shard_ranks = config.parallel.zero > 0 ? config.zero.shard_ranks : 0;
  layout.recompute = config.memory.recompute == "full"        ? Recompute::kFull
                     : config.memory.recompute == "selective" ? Recompute::kSelective
                                                              : Recompute::kNone;
  layout.offload = config.zero.offload.parameters != "none"  ? Offload::kAll
                   : config.zero.offload.optimizer != "none" ? Offload::kOptimizer
                                                             : Offload::kNone;
  layout.micro_batch = config.train.micro_batch;
  layout.tensor_sequence = config.parallel.tensor_sequence;
  return layout;
}

}  // namespace orthant
