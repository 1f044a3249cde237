// Proofs about schedules before anything runs. Every error names rank, action and numbers, and shows the grid
// around the failing cell.
#pragma once

#include "absl/status/status.h"
#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

// A schedule of compute: every stage runs every microbatch forward once and backward once (B, or I and W;
// none when forward_only), forward before backward, gradients reduced after the last backward; no
// communication; and the order can be executed.
absl::Status ValidateCompute(const Schedule& schedule);

// A lowered schedule: the above, and every transfer that stages need happens once, sent after it is made,
// received before it is used; between each two ranks receives stand in the order of the sends; and rendezvous
// execution (a send completes only together with its receive) reaches the end of every row. O(actions).
absl::Status ValidateLowered(const Schedule& schedule);

}  // namespace orthant
