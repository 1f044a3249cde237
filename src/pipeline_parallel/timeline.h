// Plays the compute of a schedule in time: the engine behind simulation, lowering and the proof that an order
// of compute can be executed.
#pragma once

#include "absl/status/status.h"
#include "orthant/pipeline_parallel/schedule.h"
#include "orthant/pipeline_parallel/simulation.h"

namespace orthant {

// Called in one global sequence that respects every dependency.
class TimelineObserver {
 public:
  virtual ~TimelineObserver() = default;
  // `rank` begins its index-th action, which takes until `end`.
  virtual void OnStart(int rank, int index, double begin, double end) = 0;
  // A result leaves `rank` by `send`; the other side is PeerOf(send).
  virtual void OnTransfer(int rank, const Action& send) = 0;
};

// Every rank takes its actions in order, each as soon as its inputs are there; sends and receives in the rows
// are skipped. At one moment transfers come before starts. ConfigurationError (with the grid) when ranks wait
// for ever. The schedule's shape must be sound (CheckShape in checks.h).
absl::Status PlayTimeline(const Schedule& schedule, const ScheduleCosts& costs, TimelineObserver& observer);

}  // namespace orthant
