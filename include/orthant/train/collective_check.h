// The proof, before the first step, that the operations of all ranks meet their matches and that no rank
// waits for ever: the lists of collective_plan.h are played for the whole mesh under rendezvous.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "orthant/train/collective_plan.h"

namespace orthant {

// What is wrong, and where.
struct CollectiveConflict {
  enum class Kind {
    kMismatch,  // two ranks meet in operations that differ
    kMissing,   // a rank's operation never meets its match
    kCycle,     // ranks that wait for one another
    kWait,      // a rank waits for what it never issued
  };
  // A rank that takes part, and the operation it is in; of a rank that has ended, none.
  struct Side {
    int64_t rank = 0;
    int64_t position =
        0;  // of the operation in the rank's list, from 1, waits not counted; 0: the rank has ended
    PlannedOperation operation;
  };
  Kind kind = Kind::kMismatch;
  std::string pass;         // "step"
  std::string difference;   // kMismatch: "count"
  std::vector<Side> sides;  // a mismatch has two; in a cycle each waits for the next

  // One sentence with every side: its rank, place in the mesh, operation and position.
  std::string ToString(const Mesh& mesh) const;
};

// Plays `pass` on every rank: a collective completes when all members have issued it, a message when both
// ends have; whatever blocks waits for that, and an asynchronous operation blocks at its wait alone. Groups
// are resolved by arithmetic for each rank: that ranks are alike is not taken for granted. The outcome hangs
// on no order of events, since each rank goes through its list in order and nothing is chosen on the way. ->
// what is wrong first, or nothing: then everything was matched and every rank came to its end. O(operations
// of all ranks).
std::optional<CollectiveConflict> CheckPass(const CollectivePass& pass, const MeshGroups& groups);

// Every pass of `plan`. Passes start and end with nothing under way, so that what holds for each holds for
// any sequence of them.
std::optional<CollectiveConflict> CheckPlan(const CollectivePlan& plan, const MeshGroups& groups);

// The largest mesh that CheckCollectives plays whole.
inline constexpr int64_t kMostRanksChecked = 4096;

// For a run about to start: plans it and checks the plan. A legal configuration has no conflict, so one is an
// internal error (exit code 1). Beyond kMostRanksChecked ranks the data axis is shortened, with the global
// batch, until the mesh is that small; where it cannot be, the whole mesh is played. `config` has passed
// ValidateRun for `mesh`; `vocab` is resolved. Pure: one process may do it for all.
absl::Status CheckCollectives(const RunConfig& config, const Mesh& mesh, int64_t vocab);

}  // namespace orthant
