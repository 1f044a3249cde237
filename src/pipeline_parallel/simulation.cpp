#include "orthant/pipeline_parallel/simulation.h"

#include <algorithm>

#include "checks.h"
#include "timeline.h"

namespace orthant {
namespace {

class Accountant : public TimelineObserver {
 public:
  Accountant(const Schedule& schedule, Simulation* result)
      : schedule_(schedule), result_(result), live_(schedule.ranks, 0) {
    result_->busy.assign(schedule.ranks, 0);
    result_->bubble.assign(schedule.ranks, 0);
    result_->live_activations.assign(schedule.ranks, 0);
  }
  void OnStart(int rank, int index, double begin, double end) override {
    result_->makespan = std::max(result_->makespan, end);
    result_->busy[rank] += end - begin;
    const ActionKind kind = schedule_.rows[rank][index].kind;
    if (kind == ActionKind::kForward) {
      result_->live_activations[rank] = std::max(result_->live_activations[rank], ++live_[rank]);
      if (schedule_.forward_only) --live_[rank];
    }
    // What a split backward keeps, it keeps until its second half.
    if (kind == ActionKind::kBackward || kind == ActionKind::kBackwardWeight) --live_[rank];
  }
  void OnTransfer(int, const Action&) override {}
  void Close() {
    for (int rank = 0; rank < schedule_.ranks; ++rank) {
      if (result_->makespan > 0) result_->bubble[rank] = 1 - result_->busy[rank] / result_->makespan;
    }
  }

 private:
  const Schedule& schedule_;
  Simulation* result_;
  std::vector<int> live_;
};

class Scribe : public TimelineObserver {
 public:
  Scribe(const Schedule& schedule, std::vector<SimulatedAction>* actions)
      : schedule_(schedule), actions_(*actions) {}
  void OnStart(int rank, int index, double begin, double end) override {
    const Action& action = schedule_.rows[rank][index];
    if (IsCompute(action.kind)) actions_.push_back({rank, action, begin, end});
  }
  void OnTransfer(int, const Action&) override {}

 private:
  const Schedule& schedule_;
  std::vector<SimulatedAction>& actions_;
};

}  // namespace

double ScheduleCosts::Of(ActionKind kind, int stage) const {
  const double weight = stage_weight ? stage_weight(stage) : 1.0;
  switch (kind) {
    case ActionKind::kForward:
      return weight * forward;
    case ActionKind::kBackward:
      return weight * backward;
    case ActionKind::kBackwardInput:
      return weight * backward_input;
    case ActionKind::kBackwardWeight:
      return weight * backward_weight;
    default:
      return 0;
  }
}

absl::StatusOr<Simulation> Simulate(const Schedule& schedule, const ScheduleCosts& costs) {
  if (absl::Status status = CheckShape(schedule); !status.ok()) return status;
  Simulation result;
  Accountant accountant(schedule, &result);
  if (absl::Status status = PlayTimeline(schedule, costs, accountant); !status.ok()) return status;
  accountant.Close();
  return result;
}

absl::StatusOr<std::vector<SimulatedAction>> SimulateActions(const Schedule& schedule,
                                                             const ScheduleCosts& costs) {
  if (absl::Status status = CheckShape(schedule); !status.ok()) return status;
  std::vector<SimulatedAction> actions;
  Scribe scribe(schedule, &actions);
  if (absl::Status status = PlayTimeline(schedule, costs, scribe); !status.ok()) return status;
  return actions;
}

}  // namespace orthant
