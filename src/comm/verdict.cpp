#include "orthant/comm/verdict.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "comm/difference.h"
#include "comm/lost_side.h"
#include "comm/wait_graph.h"

namespace orthant {
namespace {

constexpr int kCommunication = 4;
constexpr int kInternal = 1;
constexpr size_t kMostLines = 4;  // of missing ranks, and of waiting ones
constexpr size_t kMostNamed = 3;  // ranks in the sentence

// "forward", "forward and backward", "optimizer", ...
bool Computes(const std::string& activity) {
  for (const char* compute : {"forward", "backward", "optimizer"}) {
    if (absl::StartsWith(activity, compute)) return true;
  }
  return false;
}

// Everything one verdict is made from.
class Court {
 public:
  Court(const std::vector<FlightRecord>& records, const std::vector<AbsentRank>& absent)
      : records_(records), graph_(records) {
    for (const AbsentRank& rank : absent) absent_[rank.rank] = rank;
    // What ranks of other hosts see of their neighbours counts for more than silence.
    for (const FlightRecord& record : records) {
      for (const int rank : record.stopped) Seen(rank, record.host, Absence::kStopped);
      for (const int rank : record.dead) Seen(rank, record.host, Absence::kDead);
    }
    describe_ = [this](int rank) { return Where(rank); };
  }

  Verdict Judge() {
    if (!OwnError(/*communication=*/false) && !Mismatch() && !Gone() && !OwnError(/*communication=*/true) &&
        !Late()) {
      verdict_.cause = "unknown";
      verdict_.text = "the run ended without a rank that is missing or differs";
    }
    Lines();
    return std::move(verdict_);
  }

 private:
  void Seen(int rank, const std::string& host, Absence absence) {
    if (graph_.Record(rank) != nullptr) return;
    AbsentRank& known = absent_[rank];
    known.rank = rank;
    if (known.host.empty()) known.host = host;
    if (known.absence != Absence::kDead) known.absence = absence;
  }

  std::string Where(int rank) const {
    if (const FlightRecord* record = graph_.Record(rank)) return record->Where();
    const auto found = absent_.find(rank);
    return found != absent_.end() ? found->second.Where() : absl::StrCat("rank ", rank);
  }

  std::string WhereAll(const std::vector<int>& ranks) const {
    std::string text;
    for (size_t i = 0; i < ranks.size() && i < kMostNamed; ++i) {
      absl::StrAppend(&text, i == 0 ? "" : ", ", Where(ranks[i]));
    }
    if (ranks.size() > kMostNamed) absl::StrAppend(&text, " and ", ranks.size() - kMostNamed, " more");
    return text;
  }

  bool OwnError(bool communication) {
    for (const FlightRecord& record : records_) {
      if (record.exit_code == 0 || (record.exit_code == kCommunication) != communication) continue;
      if (record.error.empty()) continue;  // another rank has the words
      verdict_.exit_code = record.exit_code;
      verdict_.cause = "error";
      verdict_.ranks = {record.rank};
      verdict_.step = record.step;
      verdict_.text = record.error;
      const bool named = record.error.find(absl::StrCat("rank ", record.rank)) != std::string::npos;
      if (record.world > 1 && !named && record.exit_code == kInternal) {
        absl::StrAppend(&verdict_.text, " (on ", record.Where(), ")");
      }
      return true;
    }
    return false;
  }

  bool Mismatch() {
    const std::optional<Difference> difference = FindDifference(records_, describe_);
    if (!difference) return false;
    verdict_.cause = "mismatch";
    verdict_.ranks = difference->ranks;
    if (difference->message) PreferOdd(difference->ranks);
    if (difference->members.size() == 2) PreferOdd(difference->members);
    verdict_.operation = difference->example.Describe(difference->group);
    verdict_.sequence = difference->sequence;
    verdict_.step = difference->step;
    verdict_.text = difference->text;
    return true;
  }

  // Ranks that are dead or suspended, whether or not somebody waits for them yet.
  bool Gone() {
    for (const Absence absence : {Absence::kDead, Absence::kStopped}) {
      for (const auto& [rank, gone] : absent_) {
        if (gone.absence == absence) verdict_.ranks.push_back(rank);
      }
      if (verdict_.ranks.empty()) continue;
      const bool dead = absence == Absence::kDead;
      verdict_.cause = dead ? "dead" : "unresponsive";
      verdict_.text = absl::StrCat(WhereAll(verdict_.ranks), verdict_.ranks.size() == 1 ? " is " : " are ",
                                   dead ? "dead" : "unresponsive", ": ", Process(verdict_.ranks[0]));
      AddWaiter();
      return true;
    }
    return Lost();
  }

  // Hosts that are down or cut off, with all of their ranks.
  bool Lost() {
    const std::optional<LostSide> lost = FindLostSide(records_, absent_, graph_);
    if (!lost) return false;
    verdict_.cause = kLostHost;
    verdict_.ranks = lost->ranks;
    verdict_.text = lost->text;
    if (!lost->ours) AddWaiter();
    return true;
  }

  std::string Process(int rank) const {
    const AbsentRank& gone = absent_.at(rank);
    std::string text = "its process";
    if (gone.pid != 0) absl::StrAppend(&text, " ", gone.pid);
    if (!gone.host.empty()) absl::StrAppend(&text, " on host ", gone.host);
    switch (gone.absence) {
      case Absence::kDead:
        return text + " has ended";
      case Absence::kStopped:
        return text + " is suspended";
      case Absence::kSilent:
        return text + " does not answer";
    }
    return text;
  }

  // Notes who waits longest for the missing ranks, and in what.
  const FlightRecord* NoteOperation(int* others) {
    const FlightRecord* longest = nullptr;
    for (const int rank : verdict_.ranks) {
      int more = 0;
      const int waiter = graph_.LongestWaiter(rank, &more);
      if (waiter < 0) continue;
      const FlightRecord* record = graph_.Record(waiter);
      if (longest != nullptr && record->Waiting()->queued <= longest->Waiting()->queued) continue;
      longest = record;
      *others = more;
    }
    if (longest != nullptr) NoteCall(*longest);
    return longest;
  }

  void NoteCall(const FlightRecord& record) {
    const RecordedOperation& op = *record.Waiting();
    verdict_.operation = op.Describe(record.GroupName(op.group));
    verdict_.sequence = op.sequence;
    verdict_.step = op.step;
  }

  // Whoever waits longest; null: nobody does. `for_somebody`: for a rank that has not called it.
  const FlightRecord* LongestWaiting(bool for_somebody) const {
    const FlightRecord* longest = nullptr;
    for (const FlightRecord& record : records_) {
      if (record.Waiting() == nullptr || (for_somebody && graph_.WaitsFor(record.rank).empty())) continue;
      if (longest == nullptr || record.Waiting()->queued > longest->Waiting()->queued) longest = &record;
    }
    return longest;
  }

  static std::string And(int others) { return others > 0 ? absl::StrFormat(" (and %d more)", others) : ""; }

  void AddWaiter() {
    int others = 0;
    const FlightRecord* waiter = NoteOperation(&others);
    if (waiter == nullptr) return;
    absl::StrAppend(&verdict_.text, "; ", waiter->Where(), And(others),
                    others > 0 ? " wait for it in " : " waits for it in ", verdict_.operation,
                    absl::StrFormat(" seq=%d, step %d", verdict_.sequence, verdict_.step));
  }

  // An operation waited too long for ranks that are there.
  bool Late() {
    verdict_.ranks = graph_.Roots();
    if (verdict_.ranks.empty()) return Circle() || Silent();
    int others = 0;
    const FlightRecord* waiter = NoteOperation(&others);
    verdict_.text =
        absl::StrFormat("%s seq=%d, step %d, waited %.3g s on %s%s for %s, which %s", verdict_.operation,
                        verdict_.sequence, verdict_.step, waiter->Waiting()->queued, waiter->Where(),
                        And(others), WhereAll(verdict_.ranks), Doing(verdict_.ranks[0]));
    return true;
  }

  // What a rank does that waits for nobody; notes it as the cause.
  std::string Doing(int rank) {
    const FlightRecord* record = graph_.Record(rank);
    if (record == nullptr) {
      verdict_.cause = "unresponsive";
      return absent_.count(rank) != 0 ? "is unresponsive: " + Process(rank) : "is unresponsive";
    }
    const RecordedOperation* op = record->Waiting();
    if (op != nullptr) {
      verdict_.cause = "other operation";
      return absl::StrCat("is in another operation: ", op->Describe(record->GroupName(op->group)),
                          absl::StrFormat(" seq=%d, step %d", op->sequence, op->step));
    }
    const std::string since = absl::StrFormat(" for %.3g s", record->activity_seconds);
    const std::string& activity = record->activity;
    if (Computes(activity)) {
      verdict_.cause = "compute";
      return absl::StrCat("is stuck in compute: in ", activity, since, " without an operation under way");
    }
    verdict_.cause = activity.empty() ? "compute" : activity;
    if (activity == "ended") return "has ended without calling it";
    if (activity.empty()) return "has no operation under way";
    return absl::StrCat("is in ", activity, since);
  }

  // Everyone waits for somebody who waits: each is in another operation than its partner expects.
  bool Circle() {
    const FlightRecord* longest = LongestWaiting(/*for_somebody=*/true);
    if (longest == nullptr) return false;
    const RecordedOperation& op = *longest->Waiting();
    verdict_.ranks = CircleFrom(longest->rank);
    std::vector<int> circle = verdict_.ranks;
    std::sort(circle.begin(), circle.end());
    const bool odd = PreferOdd(circle);
    NoteCall(*longest);
    const int first = graph_.WaitsFor(longest->rank).front();
    verdict_.text =
        absl::StrFormat("%s seq=%d, step %d, waited %.3g s on %s for %s, which %s", verdict_.operation,
                        op.sequence, op.step, op.queued, longest->Where(), Where(first), Doing(first));
    if (odd) {
      absl::StrAppend(&verdict_.text, "; ", Where(verdict_.ranks[0]), " ",
                      graph_.Record(verdict_.ranks[0])->odd);
    } else {
      absl::StrAppend(&verdict_.text, "; ranks ", RanksText(circle), " wait for each other");
    }
    return true;
  }

  // The ranks that wait for each other in a ring, reached from one that waits.
  std::vector<int> CircleFrom(int rank) const {
    std::vector<int> path;
    while (std::find(path.begin(), path.end(), rank) == path.end()) {
      path.push_back(rank);
      const std::vector<int>& next = graph_.WaitsFor(rank);
      if (next.empty()) return path;
      rank = next.front();
    }
    path.erase(path.begin(), std::find(path.begin(), path.end(), rank));
    return path;
  }

  // Blames those of `ranks` alone whose calls left the order of their own step before; false: none has, or
  // all.
  bool PreferOdd(const std::vector<int>& ranks) {
    std::vector<int> odd;
    for (const int rank : ranks) {
      const FlightRecord* record = graph_.Record(rank);
      if (record != nullptr && !record->odd.empty()) odd.push_back(rank);
    }
    if (odd.empty() || odd.size() == ranks.size()) return false;
    verdict_.ranks = odd;
    return true;
  }

  // Nobody is known to be missing from an operation, but some have not answered.
  bool Silent() {
    for (const auto& [rank, gone] : absent_) verdict_.ranks.push_back(rank);
    if (verdict_.ranks.empty()) return Stalled();
    verdict_.cause = "unresponsive";
    verdict_.text = absl::StrCat(WhereAll(verdict_.ranks), verdict_.ranks.size() == 1 ? " is" : " are",
                                 " unresponsive: ", Process(verdict_.ranks[0]));
    return true;
  }

  // All have called an operation, and it does not end.
  bool Stalled() {
    const FlightRecord* longest = LongestWaiting(/*for_somebody=*/false);
    if (longest == nullptr) return false;
    const RecordedOperation& op = *longest->Waiting();
    verdict_.cause = "stalled";
    NoteCall(*longest);
    verdict_.text = absl::StrFormat(
        "%s seq=%d, step %d, waited %.3g s on %s, and all its ranks have called it: the network or a host is "
        "too slow, or the deadline too short",
        verdict_.operation, op.sequence, op.step, op.queued, longest->Where());
    return true;
  }

  // A line for each missing rank, then for those that wait.
  void Lines() {
    if (!AboutRanks(verdict_)) return;
    std::set<int> told;
    size_t lines = 0;
    for (const int rank : verdict_.ranks) {
      if (lines++ == kMostLines) break;
      told.insert(rank);
      absl::StrAppend(&verdict_.text, "\n  ", Line(rank));
    }
    if (verdict_.cause == "error") return;
    lines = 0;
    size_t more = 0;
    for (const FlightRecord& record : records_) {
      if (told.count(record.rank) != 0 || record.Waiting() == nullptr) continue;
      if (lines++ < kMostLines) {
        absl::StrAppend(&verdict_.text, "\n  ", Line(record.rank));
      } else {
        ++more;
      }
    }
    if (more > 0) absl::StrAppend(&verdict_.text, "\n  and ", more, " more that wait");
  }

  std::string Line(int rank) const {
    const FlightRecord* record = graph_.Record(rank);
    if (record == nullptr) {
      const std::string last = LastSeenOf(rank);
      return absl::StrCat(Where(rank), ": ", absent_.count(rank) != 0 ? Process(rank) : "no record",
                          last.empty() ? "" : "; it last took part in " + last);
    }
    std::string text = absl::StrCat(record->Where(), ": step ", record->step);
    const RecordedOperation* op = record->Waiting();
    if (!record->activity.empty()) absl::StrAppend(&text, ", ", record->activity);
    if (op != nullptr) {
      absl::StrAppend(&text, absl::StrFormat(", %.3g s in %s seq=%d", op->queued,
                                             op->Describe(record->GroupName(op->group)), op->sequence));
    }
    if (!record->odd.empty()) absl::StrAppend(&text, "; ", record->odd);
    const RecordedOperation* done = record->LastDone();
    if (done == nullptr) return text + "; has completed nothing";
    return absl::StrCat(text, "; last completed ", done->Describe(record->GroupName(done->group)),
                        absl::StrFormat(" seq=%d, step %d", done->sequence, done->step));
  }

  // What others have completed together with a rank that cannot tell itself.
  std::string LastSeenOf(int rank) const {
    const RecordedOperation* last = nullptr;
    const FlightRecord* witness = nullptr;
    for (const FlightRecord& record : records_) {
      for (const RecordedOperation& op : record.operations) {
        if (op.state != "done" || (last != nullptr && op.ended >= last->ended)) continue;
        const std::vector<int>& members = record.groups[static_cast<size_t>(op.group)].members;
        const bool with = op.message() ? record.WorldRank(op.group, op.peer) == rank && !op.send()
                                       : std::binary_search(members.begin(), members.end(), rank);
        if (!with) continue;
        last = &op;
        witness = &record;
      }
    }
    if (last == nullptr) return "";
    return absl::StrCat(
        last->Describe(witness->GroupName(last->group)),
        absl::StrFormat(" seq=%d, step %d, with %s", last->sequence, last->step, witness->Where()));
  }

  const std::vector<FlightRecord>& records_;
  WaitGraph graph_;
  std::map<int, AbsentRank> absent_;
  DescribeRank describe_;
  Verdict verdict_;
};

}  // namespace

bool AboutRanks(const Verdict& verdict) {
  return verdict.exit_code == kCommunication || verdict.exit_code == kInternal;
}

std::string Spoken(const Verdict& verdict, const std::string& folder) {
  if (folder.empty() || !AboutRanks(verdict)) return verdict.text;
  return absl::StrCat(verdict.text, "\n  the ranks' records are in ", folder);
}

Verdict Judge(const std::vector<FlightRecord>& records, const std::vector<AbsentRank>& absent) {
  return Court(records, absent).Judge();
}

}  // namespace orthant
