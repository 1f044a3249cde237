#include "orthant/plan/layout.h"

#include "absl/strings/str_cat.h"
#include "orthant/pipeline_parallel/partition.h"

namespace orthant {

const char* ToString(Recompute recompute) {
  return recompute == Recompute::kFull ? "full" : recompute == Recompute::kSelective ? "selective" : "none";
}

const char* ToString(PlanSchedule schedule) {
  return schedule == PlanSchedule::kGpipe      ? "gpipe"
         : schedule == PlanSchedule::kOneFOneB ? "1f1b"
                                               : "interleaved";
}

const char* ToString(Offload offload) {
  return offload == Offload::kNone        ? "none"
         : offload == Offload::kOptimizer ? "optimizer"
                                          : "optimizer and parameters";
}

std::string PlannedLayout::ToString() const {
  std::string text = absl::StrCat("data ", data, " x tensor ", tensor, " x pipeline ", pipeline,
                                  " x sequence ", sequence, ", micro_batch ", micro_batch, ", ZeRO ", zero);
  if (shard_ranks > 0 && zero > 0) absl::StrAppend(&text, " in groups of ", shard_ranks);
  if (recompute != Recompute::kNone) absl::StrAppend(&text, ", recompute ", orthant::ToString(recompute));
  if (offload != Offload::kNone) absl::StrAppend(&text, ", offload of ", orthant::ToString(offload));
  if (tensor_sequence) absl::StrAppend(&text, ", tensor_sequence");
  if (pipeline > 1) absl::StrAppend(&text, ", ", orthant::ToString(schedule));
  if (chunks > 1) absl::StrAppend(&text, " x ", chunks);
  return text;
}

PlannedPrecision PrecisionOfDtype(const std::string& dtype) {
  if (dtype == "fp64") return {8, 8, 16};
  if (dtype == "fp32") return {4, 4, 8};
  return {2, 4, 12};
}

bool ScoresInMemory(const Software& software, const PlanModel& model) {
  return software.attention == "unfused" || (model.dropout > 0 && !software.fused_dropout);
}

std::vector<int64_t> StageLayers(const PlanModel& model, const Software& software, int64_t stages) {
  if (model.layers % stages == 0 && !software.uneven_stages) {
    return std::vector<int64_t>(static_cast<size_t>(stages), model.layers / stages);
  }
  if (!software.uneven_stages || stages > model.layers) return {};
  // As the trainer weighs the head: multiply-adds a token, of a block and of the projection.
  const double h = static_cast<double>(model.hidden);
  const double block = static_cast<double>(model.BlockMatrix()) + h * static_cast<double>(model.context);
  return PartitionLayers(model.layers, stages, 0.0, static_cast<double>(model.vocab) * h / block)
      .value_or(std::vector<int64_t>());
}

}  // namespace orthant
