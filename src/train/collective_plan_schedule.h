// PlannedSchedule: the sends, receives and waits of one row of a lowered schedule, as the executor makes
// them.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "orthant/pipeline_parallel/row_walk.h"
#include "orthant/pipeline_parallel/schedule.h"
#include "train/collective_plan_unit.h"

namespace orthant {

class PlannedSchedule : private RowWalk {
 public:
  // Called at the row's forwards and backwards.
  using Compute = std::function<void(int microbatch, bool forward)>;

  // An activation has `elements` of `dtype`. What is referred to outlives this.
  PlannedSchedule(const Schedule& schedule, int rank, int64_t elements, at::ScalarType dtype,
                  CollectiveTape& tape, Compute compute)
      : RowWalk(schedule.rows[static_cast<size_t>(rank)]),
        schedule_(schedule),
        rank_(rank),
        elements_(elements),
        dtype_(dtype),
        tape_(tape),
        compute_(std::move(compute)) {}

  // Plays the row, once.
  void Run();

 private:
  void Issue(const Action& action) override;
  void Perform(const Action& action) override;
  void RetireOldestSend();

  const Schedule& schedule_;
  int rank_;
  int64_t elements_;
  at::ScalarType dtype_;
  CollectiveTape& tape_;
  Compute compute_;
  std::map<std::pair<ActionKind, int>, int> inbox_;  // slots, by action and microbatch
  std::deque<int> sends_;
};

}  // namespace orthant
