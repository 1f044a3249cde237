// ShadowStep: the construction and the steps of one pipeline stage, with bytes for tensors.
#pragma once

#include <deque>
#include <map>
#include <vector>

#include "orthant/pipeline_parallel/row_walk.h"
#include "orthant/pipeline_parallel/schedule.h"
#include "train/shadow_stage.h"

namespace orthant {

// Plays one row of a lowered schedule as the executor does: receives are posted ahead, sends are kept until
// more than eight wait.
class ShadowStep : private RowWalk {
 public:
  // What is pointed to outlives it.
  ShadowStep(const Schedule& schedule, int rank, MemoryLedger& ledger, UnitQueue& queue, ShadowStage& stage,
             int64_t activation_bytes)
      : RowWalk(schedule.rows[static_cast<size_t>(rank)]),
        schedule_(schedule),
        rank_(rank),
        ledger_(ledger),
        queue_(queue),
        stage_(stage),
        activation_bytes_(activation_bytes) {}

  void Run();

 private:
  using Held = MemoryLedger::Held;

  void Issue(const Action& action) override;
  void Perform(const Action& action) override;
  bool HasNext() const { return rank_ + 1 < schedule_.ranks; }

  const Schedule& schedule_;
  const int rank_;
  MemoryLedger& ledger_;
  UnitQueue& queue_;
  ShadowStage& stage_;
  int64_t activation_bytes_;
  std::map<std::pair<ActionKind, int>, Held> inbox_, outbox_;
  std::map<int, ShadowStage::Saved> saved_;
  std::deque<Held> sends_;
};

}  // namespace orthant
