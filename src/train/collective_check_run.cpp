// The check of a run about to start.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/train/collective_check.h"

namespace orthant {
namespace {

// `config` with the longest data axis that keeps the mesh within kMostRanksChecked, at least 2 of it, and the
// rest as it is: microbatches, and shard groups that are a part of the replicas.
RunConfig Shortened(const RunConfig& config) {
  const ParallelConfig& p = config.parallel;
  const int64_t others = int64_t{p.tensor} * p.pipeline * p.sequence;
  const int64_t shards = config.zero.shard_ranks;
  const bool hybrid = shards > 0 && shards < int64_t{p.data} * p.sequence;
  for (int64_t data = std::max<int64_t>(2, kMostRanksChecked / others); data >= 2; --data) {
    if (data >= p.data) continue;
    const int64_t replicas = data * p.sequence;
    if (hybrid && (replicas % shards != 0 || replicas == shards)) continue;
    RunConfig shorter = config;
    shorter.parallel.data = static_cast<int>(data);
    shorter.train.global_batch = config.Microbatches() * data * config.train.micro_batch;
    if (!hybrid) shorter.zero.shard_ranks = 0;
    return shorter;
  }
  return config;
}

}  // namespace

absl::Status CheckCollectives(const RunConfig& config, const Mesh& mesh, int64_t vocab) {
  if (mesh.world() == 1) return absl::OkStatus();
  const RunConfig checked = mesh.world() > kMostRanksChecked ? Shortened(config) : config;
  const Mesh small(checked.parallel.degrees(), mesh.order());
  const MeshGroups groups(small, checked.zero.shard_ranks);
  const std::optional<CollectiveConflict> conflict =
      CheckPlan(PlanCollectives(checked, small, vocab), groups);
  if (!conflict) return absl::OkStatus();
  return StatusWithExitCode(
      ExitCode::kInternal,
      absl::StrCat(
          "the ranks' communication would not fit together, which is a bug of Orthant's (",
          ToString(small.degrees()), "): ", conflict->ToString(small),
          ". `orthant plan --collectives` shows the same; please report it with the run's configuration."));
}

}  // namespace orthant
