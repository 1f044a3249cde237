#include "orthant/train/collective_check.h"

#include <array>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

using Mode = PlannedOperation::Mode;
using Side = CollectiveConflict::Side;

bool IsMessage(const PlannedOperation& op) {
  return op.kind == OpKind::kSend || op.kind == OpKind::kRecv;
}

// What two operations that meet do not agree in; null when they do.
const char* DifferenceOf(const PlannedOperation& a, const PlannedOperation& b) {
  const bool message = IsMessage(a);
  if (a.kind != b.kind && !(message && IsMessage(b))) return "operation";
  if (std::strcmp(a.label.what, b.label.what) != 0 || a.label.layer != b.label.layer ||
      a.label.microbatch != b.label.microbatch) {
    return "label";
  }
  if (a.count != b.count) return "count";
  if (a.dtype != b.dtype) return "dtype";
  if (message) return nullptr;
  if (a.reduce != b.reduce) return "reduction";
  if (a.peer != b.peer) return "root";
  return nullptr;
}

// The whole mesh at play.
class Play {
 public:
  Play(const CollectivePass& pass, const MeshGroups& groups)
      : pass_(pass), groups_(groups), world_(static_cast<int64_t>(pass.ranks.size())) {
    int32_t slots = 0;
    for (const auto& list : pass.lists) {
      for (const PlannedOperation& op : *list) slots = std::max(slots, op.slot + 1);
    }
    slots_per_rank_ = slots;
    slots_.resize(static_cast<size_t>(world_ * slots));
    ranks_.resize(static_cast<size_t>(world_));
    for (auto& known : instance_of_) known.assign(static_cast<size_t>(world_), -1);
  }

  std::optional<CollectiveConflict> Run() {
    // The last rank is taken first; whom it frees comes before those that have not begun.
    for (int64_t rank = world_; rank-- > 0;) runnable_.push_back(static_cast<int32_t>(rank));
    while (!runnable_.empty()) {
      const int32_t rank = runnable_.back();
      runnable_.pop_back();
      if (!Advance(rank)) return std::move(conflict_);
    }
    return Remaining();
  }

 private:
  // An operation that some members have issued: the n-th collective of a group, or message of a channel.
  struct Pending {
    const PlannedOperation* op;
    int32_t rank;  // that issued it first
    int64_t at;    // in that rank's list
    int32_t arrived;
  };
  struct Waiter {
    int32_t rank;
    uint32_t sequence;
  };
  // A group of ranks, for its collectives; or the way from one rank to another, for messages: then the two
  // members are the ends.
  struct Meeting {
    GroupKind kind;
    int64_t size;           // members; 2 for messages
    int64_t anchor, other;  // a member; of messages, the sender and the receiver
    uint32_t completed = 0;
    std::deque<Pending> pending;  // sequence numbers completed + 1, ...
    std::vector<Waiter> waiters;
  };
  struct Reference {
    int32_t meeting = -1;
    uint32_t sequence = 0;
  };
  struct Channel {  // of one rank to one peer
    GroupKind kind;
    int32_t peer;
    int32_t out, in;  // meetings
    uint32_t sent, received;
  };
  struct RankState {
    int64_t at = 0;  // in the list, all parts counted
    uint8_t part = 0;
    int64_t in_part = 0;
    Reference blocked;
    std::array<int32_t, kGroupKinds> meeting;  // -1: not looked up yet
    std::array<uint32_t, kGroupKinds> issued{};
    std::vector<Channel> channels;
    RankState() { meeting.fill(-1); }
  };

  const PlannedOperation* Next(RankState& state, int32_t rank) const {
    const RankProgram& program = pass_.ranks[static_cast<size_t>(rank)];
    while (state.part < program.parts.size()) {
      const OperationList* list = program.parts[state.part];
      if (list != nullptr && state.in_part < static_cast<int64_t>(list->size())) {
        return &(*list)[static_cast<size_t>(state.in_part)];
      }
      ++state.part;
      state.in_part = 0;
    }
    return nullptr;
  }

  bool IsComplete(const Reference& reference) const {
    return reference.sequence <= meetings_[static_cast<size_t>(reference.meeting)].completed;
  }

  // Goes on until the rank blocks or ends; false on a conflict.
  bool Advance(int32_t rank) {
    RankState& state = ranks_[static_cast<size_t>(rank)];
    state.blocked = {};
    while (const PlannedOperation* op = Next(state, rank)) {
      Reference reference;
      if (op->mode == Mode::kWait) {
        reference = std::exchange(SlotOf(rank, op->slot), {});
        if (reference.meeting < 0)
          return Fail(CollectiveConflict::Kind::kWait, {SideOf(rank, state.at, *op)});
      } else if (!Arrive(rank, state, *op, &reference)) {
        return false;
      }
      ++state.at;
      ++state.in_part;
      if (op->mode == Mode::kIssue) {
        SlotOf(rank, op->slot) = reference;
      } else if (!IsComplete(reference)) {
        state.blocked = reference;
        meetings_[static_cast<size_t>(reference.meeting)].waiters.push_back({rank, reference.sequence});
        return true;
      }
    }
    return true;
  }

  Reference& SlotOf(int32_t rank, int32_t slot) {
    return slots_[static_cast<size_t>(int64_t{rank} * slots_per_rank_ + slot)];
  }

  bool Arrive(int32_t rank, RankState& state, const PlannedOperation& op, Reference* reference) {
    if (IsMessage(op)) {
      Channel& channel = ChannelOf(rank, state, op);
      const bool send = op.kind == OpKind::kSend;
      *reference = {send ? channel.out : channel.in, send ? ++channel.sent : ++channel.received};
    } else {
      const auto kind = static_cast<size_t>(op.group);
      if (state.meeting[kind] < 0) state.meeting[kind] = GroupMeeting(op.group, rank);
      *reference = {state.meeting[kind], ++state.issued[kind]};
    }
    return Meet(rank, state.at, op, *reference);
  }

  bool Meet(int32_t rank, int64_t at, const PlannedOperation& op, const Reference& reference) {
    Meeting& meeting = meetings_[static_cast<size_t>(reference.meeting)];
    const size_t index = reference.sequence - meeting.completed - 1;
    if (index == meeting.pending.size()) {
      meeting.pending.push_back({&op, rank, at, 0});
    } else {
      const Pending& first = meeting.pending[index];
      if (first.op != &op) {  // ranks that share a list agree
        if (const char* difference = DifferenceOf(*first.op, op)) {
          Fail(CollectiveConflict::Kind::kMismatch,
               {SideOf(first.rank, first.at, *first.op), SideOf(rank, at, op)});
          conflict_->difference = difference;
          return false;
        }
      }
    }
    // Members issue in order, so operations complete in order.
    if (++meeting.pending[index].arrived < meeting.size) return true;
    meeting.pending.pop_front();
    ++meeting.completed;
    size_t kept = 0;
    for (const Waiter& waiter : meeting.waiters) {
      if (waiter.sequence <= meeting.completed) {
        runnable_.push_back(waiter.rank);
      } else {
        meeting.waiters[kept++] = waiter;
      }
    }
    meeting.waiters.resize(kept);
    return true;
  }

  int32_t NewMeeting(Meeting meeting) {
    meetings_.push_back(std::move(meeting));
    return static_cast<int32_t>(meetings_.size()) - 1;
  }

  // By the group's lowest rank.
  int32_t GroupMeeting(GroupKind kind, int64_t rank) {
    const int64_t lowest = groups_.MemberAt(kind, rank, 0);
    int32_t& known = instance_of_[static_cast<size_t>(kind)][static_cast<size_t>(lowest)];
    if (known < 0) known = NewMeeting({kind, groups_.SizeOf(kind, rank), lowest, -1, 0, {}, {}});
    return known;
  }

  Channel& ChannelOf(int32_t rank, RankState& state, const PlannedOperation& op) {
    for (Channel& channel : state.channels) {
      if (channel.peer == op.peer && channel.kind == op.group) return channel;
    }
    const int64_t peer = groups_.MemberAt(op.group, rank, op.peer);
    const auto mine = static_cast<int32_t>(groups_.IndexOf(op.group, rank));
    Channel channel{op.group, op.peer, -1, -1, 0, 0};
    for (const Channel& theirs : ranks_[static_cast<size_t>(peer)].channels) {
      if (theirs.kind == op.group && theirs.peer == mine) channel.out = theirs.in, channel.in = theirs.out;
    }
    if (channel.out < 0) {
      channel.out = NewMeeting({op.group, 2, rank, peer, 0, {}, {}});
      channel.in = NewMeeting({op.group, 2, peer, rank, 0, {}, {}});
    }
    state.channels.push_back(channel);
    return state.channels.back();
  }

  // `op` stands at `at` of the rank's list. A wait has the position of what it waits for.
  Side SideOf(int32_t rank, int64_t at, const PlannedOperation& op) const {
    Side side;
    side.rank = rank;
    side.operation = op;
    int64_t index = 0, operations = 0;
    for (const OperationList* part : pass_.ranks[static_cast<size_t>(rank)].parts) {
      if (part == nullptr) continue;
      for (const PlannedOperation& listed : *part) {
        if (index++ > at) return side;
        if (listed.mode == Mode::kWait) continue;
        ++operations;
        if (op.mode != Mode::kWait || listed.slot == op.slot) side.position = operations;
      }
    }
    return side;
  }

  bool Fail(CollectiveConflict::Kind kind, std::vector<Side> sides) {
    conflict_.emplace();
    conflict_->kind = kind;
    conflict_->pass = pass_.name;
    conflict_->sides = std::move(sides);
    return false;
  }

  bool Blocked(int64_t rank) const { return ranks_[static_cast<size_t>(rank)].blocked.meeting >= 0; }

  // Where a blocked rank stands.
  Side StandingAt(int32_t rank) const {
    const RankState& state = ranks_[static_cast<size_t>(rank)];
    if (!Blocked(rank)) return Side{rank, 0, {}};
    int64_t left = state.at - 1;
    for (const OperationList* part : pass_.ranks[static_cast<size_t>(rank)].parts) {
      if (part == nullptr) continue;
      const auto size = static_cast<int64_t>(part->size());
      if (left < size) return SideOf(rank, state.at - 1, (*part)[static_cast<size_t>(left)]);
      left -= size;
    }
    return Side{rank, 0, {}};
  }

  // A member of `meeting` that has not issued the oldest operation that is incomplete there.
  int32_t Missing(const Meeting& meeting) const {
    const uint32_t wanted = meeting.completed + 1;
    if (meeting.other >= 0) {  // messages: the end that is behind
      return static_cast<int32_t>(IsMessage(*meeting.pending.front().op) &&
                                          meeting.pending.front().op->kind == OpKind::kSend
                                      ? meeting.other
                                      : meeting.anchor);
    }
    for (const int64_t member : groups_.Members(meeting.kind, meeting.anchor)) {
      if (ranks_[static_cast<size_t>(member)].issued[static_cast<size_t>(meeting.kind)] < wanted) {
        return static_cast<int32_t>(member);
      }
    }
    return static_cast<int32_t>(meeting.anchor);
  }

  // When nothing runs any more: nothing where all has been matched, else who waits for whom.
  std::optional<CollectiveConflict> Remaining() {
    for (int32_t rank = 0; rank < world_; ++rank) {
      if (Blocked(rank)) return Stall(rank);
    }
    for (const Meeting& meeting : meetings_) {
      if (meeting.pending.empty()) continue;
      const Pending& left = meeting.pending.front();
      Fail(CollectiveConflict::Kind::kMissing,
           {SideOf(left.rank, left.at, *left.op), Side{Missing(meeting), 0, {}}});
      return std::move(conflict_);
    }
    return std::nullopt;
  }

  // Follows from a blocked rank to one it waits for, until one comes round again, or has ended.
  std::optional<CollectiveConflict> Stall(int32_t rank) {
    std::vector<Side> sides;
    std::vector<int32_t> seen(static_cast<size_t>(world_), -1);
    while (Blocked(rank) && seen[static_cast<size_t>(rank)] < 0) {
      seen[static_cast<size_t>(rank)] = static_cast<int32_t>(sides.size());
      sides.push_back(StandingAt(rank));
      rank = Missing(meetings_[static_cast<size_t>(ranks_[static_cast<size_t>(rank)].blocked.meeting)]);
    }
    if (Blocked(rank)) {
      sides.erase(sides.begin(), sides.begin() + seen[static_cast<size_t>(rank)]);
      Fail(CollectiveConflict::Kind::kCycle, std::move(sides));
    } else {
      Fail(CollectiveConflict::Kind::kMissing, {sides.back(), Side{rank, 0, {}}});
    }
    return std::move(conflict_);
  }

  const CollectivePass& pass_;
  const MeshGroups& groups_;
  int64_t world_;
  int64_t slots_per_rank_ = 0;
  std::vector<Reference> slots_;  // [world, slots_per_rank_]
  std::vector<RankState> ranks_;
  std::vector<Meeting> meetings_;
  std::array<std::vector<int32_t>, kGroupKinds> instance_of_;  // meeting by lowest rank
  std::vector<int32_t> runnable_;
  std::optional<CollectiveConflict> conflict_;
};

std::string SideText(const Side& side, const Mesh& mesh) {
  if (side.position == 0) return absl::StrCat(mesh.Describe(side.rank), " has ended");
  return absl::StrCat(mesh.Describe(side.rank), " is in operation ", side.position, " of its list, ",
                      Describe(side.operation),
                      side.operation.mode == Mode::kWait ? ", for whose end it waits" : "");
}

}  // namespace

std::string CollectiveConflict::ToString(const Mesh& mesh) const {
  std::string text = absl::StrCat(pass, ": ");
  switch (kind) {
    case Kind::kMismatch:
      absl::StrAppend(&text, "operations that meet differ in ", difference);
      break;
    case Kind::kMissing:
      absl::StrAppend(&text, "an operation has no match");
      break;
    case Kind::kCycle:
      absl::StrAppend(&text, sides.size(), " ranks wait for one another");
      break;
    case Kind::kWait:
      absl::StrAppend(&text, "a rank waits for what it has not issued");
      break;
  }
  for (const Side& side : sides) absl::StrAppend(&text, "; ", SideText(side, mesh));
  return text;
}

std::optional<CollectiveConflict> CheckPass(const CollectivePass& pass, const MeshGroups& groups) {
  return Play(pass, groups).Run();
}

std::optional<CollectiveConflict> CheckPlan(const CollectivePlan& plan, const MeshGroups& groups) {
  for (const CollectivePass& pass : plan.passes) {
    if (std::optional<CollectiveConflict> conflict = CheckPass(pass, groups)) return conflict;
  }
  return std::nullopt;
}

}  // namespace orthant
