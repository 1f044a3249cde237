// The parts that proofs about schedules are made of; validation.cpp puts them together.
#pragma once

#include <array>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

// Rows, chunks and microbatches are within the schedule's own numbers.
absl::Status CheckShape(const Schedule& schedule);

// Where each action of each (stage, microbatch) stands in its rank's row.
class Positions {
 public:
  // ConfigurationError when an action stands twice. The shape must be sound.
  static absl::StatusOr<Positions> Of(const Schedule& schedule);

  // Index in the row of the stage's rank, or -1.
  int At(ActionKind kind, int stage, int microbatch) const {
    return at_[static_cast<int>(kind)][static_cast<size_t>(stage) * microbatches_ + microbatch];
  }

 private:
  int microbatches_ = 0;
  std::array<std::vector<int>, static_cast<int>(ActionKind::kGatherParams)> at_;
};

// Each stage and microbatch: one F and one B (or I and W), in this order.
absl::Status CheckCompute(const Schedule& schedule, const Positions& positions);
// REDUCE_GRAD at most once a chunk, after the chunk's last backward.
absl::Status CheckReductions(const Schedule& schedule);
// No sends, no receives.
absl::Status CheckNoCommunication(const Schedule& schedule);
// Every needed transfer is there once, after its producer and before its consumer, and no other.
absl::Status CheckTransfers(const Schedule& schedule, const Positions& positions);
// From one rank to another, receives stand in the order of the sends.
absl::Status CheckMatching(const Schedule& schedule);
// Rendezvous execution reaches the end of every row. The checks above must have passed.
absl::Status CheckRendezvous(const Schedule& schedule);

}  // namespace orthant
