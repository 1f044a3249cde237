// Checks of a lowered schedule's sends and receives.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "checks.h"
#include "grid.h"

namespace orthant {
namespace {

int RowEnd(const Schedule& schedule, int rank) {
  return static_cast<int>(schedule.rows[rank].size());
}

// Position of the backward that makes and consumes gradients.
int BackwardAt(const Positions& positions, int stage, int microbatch) {
  const int whole = positions.At(ActionKind::kBackward, stage, microbatch);
  return whole >= 0 ? whole : positions.At(ActionKind::kBackwardInput, stage, microbatch);
}

// One transfer from stage `from` to stage `to`: there once, after `made` and before `used` (positions of the
// compute).
absl::Status CheckTransfer(const Schedule& s, const Positions& positions, ActionKind send, ActionKind recv,
                           int from, int to, int microbatch, int made, int used) {
  const int sender = s.RankOf(from), receiver = s.RankOf(to);
  const std::string send_cell = CellText(s, sender, {send, s.ChunkOf(from), microbatch});
  const std::string recv_cell = CellText(s, receiver, {recv, s.ChunkOf(to), microbatch});
  const int sent = positions.At(send, from, microbatch), received = positions.At(recv, to, microbatch);
  if (sent < 0)
    return ErrorAt(s, sender, RowEnd(s, sender),
                   absl::StrCat(send_cell, " to rank ", receiver, " is missing"));
  if (received < 0) {
    return ErrorAt(s, receiver, RowEnd(s, receiver),
                   absl::StrCat(recv_cell, " from rank ", sender, " is missing"));
  }
  if (sent < made) {
    return ErrorAt(s, sender, sent, absl::StrCat("it is sent before it is made, which is action ", made));
  }
  if (received > used) {
    return ErrorAt(s, receiver, received,
                   absl::StrCat("it is received after its use, which is action ", used));
  }
  return absl::OkStatus();
}

// Between stages of one rank nothing is sent: the row's order itself must put the producer first.
absl::Status CheckLocal(const Schedule& s, int rank, int made, int used) {
  if (made < used) return absl::OkStatus();
  return ErrorAt(s, rank, used, absl::StrCat("its input is made on the same rank only at action ", made));
}

// Both transfers between `stage` and the stage after it.
absl::Status CheckBoundary(const Schedule& s, const Positions& positions, int stage, int m) {
  const int next = stage + 1;
  const int forward = positions.At(ActionKind::kForward, stage, m);
  const int next_forward = positions.At(ActionKind::kForward, next, m);
  const bool local = s.RankOf(stage) == s.RankOf(next);
  absl::Status status =
      local ? CheckLocal(s, s.RankOf(stage), forward, next_forward)
            : CheckTransfer(s, positions, ActionKind::kSendActivation, ActionKind::kRecvActivation, stage,
                            next, m, forward, next_forward);
  if (!status.ok() || s.forward_only) return status;
  const int backward = BackwardAt(positions, stage, m), next_backward = BackwardAt(positions, next, m);
  return local ? CheckLocal(s, s.RankOf(stage), next_backward, backward)
               : CheckTransfer(s, positions, ActionKind::kSendGradient, ActionKind::kRecvGradient, next,
                               stage, m, next_backward, backward);
}

// A send or receive for which there is no other stage, or no other rank.
std::string WhyUnneeded(const Schedule& s, int rank, const Action& action) {
  const int stage = s.StageOf(rank, action.chunk);
  const bool downstream =
      action.kind == ActionKind::kSendActivation || action.kind == ActionKind::kRecvGradient;
  if (downstream && stage == s.stages() - 1) return "no stage follows the last one";
  if (!downstream && stage == 0) return "no stage precedes the first one";
  if (PeerOf(s, rank, action).rank == rank) return "both stages are on this rank: nothing is sent";
  const bool gradient = action.kind == ActionKind::kSendGradient || action.kind == ActionKind::kRecvGradient;
  return gradient && s.forward_only ? "a forward-only schedule has no gradients" : "";
}

// Rendezvous: a send and its receive complete together, when both are at the head of their rows; compute
// whose turn it is always runs (CheckTransfers has shown that its inputs were received earlier in its own
// row).
class Rendezvous {
 public:
  explicit Rendezvous(const Schedule& schedule) : s_(schedule), head_(schedule.ranks, 0) {}

  absl::Status Run() {
    std::vector<int> runnable;
    for (int rank = 0; rank < s_.ranks; ++rank) runnable.push_back(rank);
    while (!runnable.empty()) {
      const int rank = runnable.back();
      runnable.pop_back();
      if (!SkipCompute(rank)) continue;
      const Peer peer = PeerOf(s_, rank, s_.rows[rank][head_[rank]]);
      if (!SkipCompute(peer.rank) || s_.rows[peer.rank][head_[peer.rank]] != peer.action) continue;
      ++head_[rank];
      ++head_[peer.rank];
      runnable.push_back(rank);
      runnable.push_back(peer.rank);
    }
    for (int rank = 0; rank < s_.ranks; ++rank) {
      if (head_[rank] < RowEnd(s_, rank)) return Deadlock(rank);
    }
    return absl::OkStatus();
  }

 private:
  // Moves to the rank's next communication; false at the end of the row.
  bool SkipCompute(int rank) {
    const std::vector<Action>& row = s_.rows[rank];
    while (head_[rank] < RowEnd(s_, rank) && !IsCommunication(row[head_[rank]].kind)) ++head_[rank];
    return head_[rank] < RowEnd(s_, rank);
  }

  // Follows who waits for whom from `rank` until a rank comes round again.
  absl::Status Deadlock(int rank) const {
    const int first = rank;
    std::vector<bool> seen(s_.ranks, false);
    std::string story = "deadlock when sends wait for their receives";
    while (!seen[rank] && head_[rank] < RowEnd(s_, rank)) {
      seen[rank] = true;
      const Action& action = s_.rows[rank][head_[rank]];
      const int peer = PeerOf(s_, rank, action).rank;
      absl::StrAppend(&story, "; rank ", rank, " is at action ", head_[rank], ", ",
                      CellText(s_, rank, action), IsSend(action.kind) ? " to rank " : " from rank ", peer);
      rank = peer;
    }
    if (!seen[rank]) absl::StrAppend(&story, "; rank ", rank, " has ended");
    return ErrorAt(s_, first, head_[first], story);
  }

  const Schedule& s_;
  std::vector<int> head_;
};

}  // namespace

absl::Status CheckTransfers(const Schedule& s, const Positions& positions) {
  for (int rank = 0; rank < s.ranks; ++rank) {
    for (int i = 0; i < RowEnd(s, rank); ++i) {
      if (!IsCommunication(s.rows[rank][i].kind)) continue;
      const std::string why = WhyUnneeded(s, rank, s.rows[rank][i]);
      if (!why.empty()) return ErrorAt(s, rank, i, why);
    }
  }
  for (int stage = 0; stage + 1 < s.stages(); ++stage) {
    for (int m = 0; m < s.microbatches; ++m) {
      if (absl::Status status = CheckBoundary(s, positions, stage, m); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMatching(const Schedule& s) {
  // From (sender, receiver): the receives that the sends ask for, in order.
  std::map<std::pair<int, int>, std::vector<Action>> expected;
  for (int rank = 0; rank < s.ranks; ++rank) {
    for (const Action& action : s.rows[rank]) {
      if (!IsSend(action.kind)) continue;
      const Peer peer = PeerOf(s, rank, action);
      expected[{rank, peer.rank}].push_back(peer.action);
    }
  }
  std::map<std::pair<int, int>, size_t> taken;
  for (int rank = 0; rank < s.ranks; ++rank) {
    for (int i = 0; i < RowEnd(s, rank); ++i) {
      const Action& action = s.rows[rank][i];
      if (!IsRecv(action.kind)) continue;
      const int sender = PeerOf(s, rank, action).rank;
      const std::vector<Action>& sent = expected[{sender, rank}];
      const size_t nth = taken[{sender, rank}]++;
      if (nth < sent.size() && sent[nth] == action) continue;
      return ErrorAt(
          s, rank, i,
          absl::StrCat("it is receive ", nth, " from rank ", sender, ", whose send ", nth, " to rank ", rank,
                       nth < sent.size() ? absl::StrCat(" is for ", CellText(s, rank, sent[nth]))
                                         : " does not exist"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRendezvous(const Schedule& s) {
  return Rendezvous(s).Run();
}

}  // namespace orthant
