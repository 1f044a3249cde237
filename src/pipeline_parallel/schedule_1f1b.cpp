// 1F1B (PipeDream-Flush; Narayanan et al., arXiv 2006.09503 and 2104.04473, section 2.2): rank r runs p - r -
// 1 forwards ahead, then one forward and one backward in turn, then the backwards that are left. The bubble
// is GPipe's, (p - 1) / (m + p - 1), but rank r holds at most p - r microbatches.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/pipeline_parallel/generators.h"

namespace orthant {

absl::StatusOr<Schedule> GenerateOneFOneB(const ScheduleShape& shape) {
  if (shape.chunks != 1) {
    return ConfigurationError(
        absl::StrCat("Schedule 1f1b has one chunk a rank, not ", shape.chunks, "; nearest legal: 1."));
  }
  Schedule schedule{.ranks = shape.ranks, .chunks = 1, .microbatches = shape.microbatches};
  schedule.rows.resize(shape.ranks);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    std::vector<Action>& row = schedule.rows[rank];
    const int warm_up = std::min(shape.ranks - rank - 1, shape.microbatches);
    int forward = 0, backward = 0;
    while (forward < warm_up) row.push_back({ActionKind::kForward, 0, forward++});
    while (forward < shape.microbatches) {
      row.push_back({ActionKind::kForward, 0, forward++});
      row.push_back({ActionKind::kBackward, 0, backward++});
    }
    while (backward < shape.microbatches) row.push_back({ActionKind::kBackward, 0, backward++});
  }
  return schedule;
}

}  // namespace orthant
