// Lowering: adds sends and receives to a schedule of compute, such that no order of events can deadlock, even
// when nothing is buffered and every send waits for its receive.
#pragma once

#include "absl/status/statusor.h"
#include "orthant/pipeline_parallel/schedule.h"
#include "orthant/pipeline_parallel/simulation.h"

namespace orthant {

// The compute is played in time under `costs`. When an action ends whose result another rank needs, the send
// is appended to its own rank's row and, at the same moment, the receive to the other's: the sender's side
// places the receiver's action. So every row is a subsequence of one global sequence in which each send
// stands beside its receive, and executing that sequence from left to right never waits: freedom from
// deadlock under rendezvous semantics. Ends in O(actions x log ranks). ConfigurationError when `compute` has
// communication already, or an order that cannot be executed.
absl::StatusOr<Schedule> Lower(const Schedule& compute, const ScheduleCosts& costs = {});

}  // namespace orthant
