#include "timeline.h"

#include <queue>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "grid.h"

namespace orthant {
namespace {

class Player {
 public:
  Player(const Schedule& schedule, const ScheduleCosts& costs, TimelineObserver& observer)
      : schedule_(schedule), costs_(costs), observer_(observer), ranks_(schedule.ranks) {
    const size_t pairs = static_cast<size_t>(schedule.stages()) * schedule.microbatches;
    has_input_.assign(pairs, false);
    has_gradient_.assign(pairs, false);
  }

  absl::Status Play() {
    for (int rank = 0; rank < schedule_.ranks; ++rank) StartWhatCan(rank);
    while (!events_.empty()) {
      now_ = events_.top().time;
      std::vector<int> touched;
      while (!events_.empty() && events_.top().time == now_) {
        const Event event = events_.top();
        events_.pop();
        touched.push_back(event.finishes ? Finish(event) : Arrive(event));
      }
      for (int rank : touched) StartWhatCan(rank);
    }
    return Verdict();
  }

 private:
  // The end of a rank's action, or the arrival of a result at it (`action` is then the receive).
  struct Event {
    double time = 0;
    int rank = 0;
    bool finishes = false;
    Action action;
    int order = 0;  // events of one moment keep the order in which they were made
    bool operator>(const Event& other) const {
      return std::tie(time, order) > std::tie(other.time, other.order);
    }
  };
  struct RankState {
    int next = 0;
    bool busy = false;
  };

  size_t PairOf(int stage, int microbatch) const {
    return static_cast<size_t>(stage) * schedule_.microbatches + microbatch;
  }
  void Push(Event event) {
    event.order = made_++;
    events_.push(event);
  }

  // True when what `action` on `rank` consumes has arrived. (Own forward before own backward is a matter of
  // the row's order, and checked there.)
  bool InputsReady(int rank, const Action& action) const {
    const int stage = schedule_.StageOf(rank, action.chunk);
    if (action.kind == ActionKind::kForward)
      return stage == 0 || has_input_[PairOf(stage, action.microbatch)];
    if (action.kind == ActionKind::kBackwardWeight || !IsCompute(action.kind)) return true;
    return stage == schedule_.stages() - 1 || has_gradient_[PairOf(stage, action.microbatch)];
  }

  void StartWhatCan(int rank) {
    RankState& state = ranks_[rank];
    const std::vector<Action>& row = schedule_.rows[rank];
    while (!state.busy && state.next < static_cast<int>(row.size())) {
      const Action& action = row[state.next];
      if (IsCommunication(action.kind)) {
        ++state.next;
        continue;
      }
      if (!InputsReady(rank, action)) return;
      const double end = now_ + costs_.Of(action.kind, schedule_.StageOf(rank, action.chunk));
      observer_.OnStart(rank, state.next, now_, end);
      ++state.next;
      if (!IsCompute(action.kind)) continue;
      state.busy = true;
      Push({.time = end, .rank = rank, .finishes = true, .action = action});
    }
  }

  int Finish(const Event& event) {
    ranks_[event.rank].busy = false;
    const int stage = schedule_.StageOf(event.rank, event.action.chunk);
    Action send{ActionKind::kSendActivation, event.action.chunk, event.action.microbatch};
    if (event.action.kind == ActionKind::kForward) {
      if (stage == schedule_.stages() - 1) return event.rank;
    } else {
      if (stage == 0 || event.action.kind == ActionKind::kBackwardWeight) return event.rank;
      send.kind = ActionKind::kSendGradient;
    }
    const Peer peer = PeerOf(schedule_, event.rank, send);
    const bool local = peer.rank == event.rank;
    if (!local) observer_.OnTransfer(event.rank, send);
    Push({.time = now_ + (local ? 0 : costs_.transfer), .rank = peer.rank, .action = peer.action});
    return event.rank;
  }

  int Arrive(const Event& event) {
    const size_t pair = PairOf(schedule_.StageOf(event.rank, event.action.chunk), event.action.microbatch);
    (event.action.kind == ActionKind::kRecvActivation ? has_input_ : has_gradient_)[pair] = true;
    return event.rank;
  }

  absl::Status Verdict() const {
    for (int rank = 0; rank < schedule_.ranks; ++rank) {
      const int next = ranks_[rank].next;
      if (next >= static_cast<int>(schedule_.rows[rank].size())) continue;
      const Action& action = schedule_.rows[rank][next];
      const int neighbour =
          schedule_.StageOf(rank, action.chunk) + (action.kind == ActionKind::kForward ? -1 : 1);
      const int other = schedule_.RankOf(neighbour);
      const std::string awaited =
          CellText(schedule_, other,
                   {action.kind == ActionKind::kForward ? ActionKind::kForward : ActionKind::kBackward,
                    schedule_.ChunkOf(neighbour), action.microbatch});
      const int reached = ranks_[other].next;
      const bool ended = reached >= static_cast<int>(schedule_.rows[other].size());
      return ErrorAt(
          schedule_, rank, next,
          absl::StrCat("deadlock: it waits for the result of ", awaited, ", but rank ", other,
                       ended
                           ? " has ended"
                           : absl::StrCat(" is stuck before action ", reached, " (",
                                          CellText(schedule_, other, schedule_.rows[other][reached]), ")")));
    }
    return absl::OkStatus();
  }

  const Schedule& schedule_;
  const ScheduleCosts& costs_;
  TimelineObserver& observer_;
  std::vector<RankState> ranks_;
  std::vector<bool> has_input_, has_gradient_;  // [stages x microbatches]
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  double now_ = 0;
  int made_ = 0;
};

}  // namespace

absl::Status PlayTimeline(const Schedule& schedule, const ScheduleCosts& costs, TimelineObserver& observer) {
  return Player(schedule, costs, observer).Play();
}

}  // namespace orthant
