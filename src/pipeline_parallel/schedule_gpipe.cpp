// GPipe (Huang et al., arXiv 1811.06965): every forward, then every backward. Simple, and it holds the
// activations of all microbatches at once. Backward runs in the order of the forward, so that gradients are
// summed in one order whatever the schedule.
#include "orthant/pipeline_parallel/generators.h"

namespace orthant {

absl::StatusOr<Schedule> GenerateGpipe(const ScheduleShape& shape) {
  Schedule schedule{.ranks = shape.ranks, .chunks = shape.chunks, .microbatches = shape.microbatches};
  schedule.rows.resize(shape.ranks);
  for (std::vector<Action>& row : schedule.rows) {
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      for (int m = 0; m < shape.microbatches; ++m) row.push_back({ActionKind::kForward, chunk, m});
    }
    for (int chunk = shape.chunks - 1; chunk >= 0; --chunk) {
      for (int m = 0; m < shape.microbatches; ++m) row.push_back({ActionKind::kBackward, chunk, m});
    }
  }
  return schedule;
}

}  // namespace orthant
