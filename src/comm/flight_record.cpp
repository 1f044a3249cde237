#include "orthant/comm/flight_record.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace orthant {
namespace {

constexpr size_t kNewestKept = 8;

double SecondsBefore(FlightRecorder::Clock::time_point now, FlightRecorder::Clock::time_point then) {
  if (then == FlightRecorder::Clock::time_point{}) return -1;
  return std::max(0.0, std::chrono::duration<double>(now - then).count());
}

bool Reduces(OpKind kind) {
  return kind == OpKind::kAllReduce || kind == OpKind::kReduce || kind == OpKind::kReduceScatter;
}

RecordedOperation Recorded(const FlightEntry& entry, FlightRecorder::Clock::time_point now) {
  RecordedOperation op;
  op.ticket = entry.ticket;
  op.sequence = entry.sequence;
  op.group = entry.group;
  op.step = entry.step;
  op.op = ToString(entry.op);
  if (Reduces(entry.op)) op.reduce = ToString(entry.reduce);
  op.label = entry.label.what;
  op.layer = entry.label.layer;
  op.microbatch = entry.label.microbatch;
  op.dtype = DtypeName(entry.dtype);
  op.elements = entry.elements;
  op.peer = entry.peer;
  op.state = ToString(entry.state);
  op.queued = SecondsBefore(now, entry.queued);
  op.started = SecondsBefore(now, entry.started);
  op.ended = SecondsBefore(now, entry.ended);
  return op;
}

// Steps are alike but for evaluations and saves at their end: a call that leaves the order of the step before
// hints at the rank that skipped or doubled one, where others only wait.
std::string OddCall(const FlightRecord& record) {
  std::vector<const RecordedOperation*> now;
  std::vector<const RecordedOperation*> before;
  bool whole = !record.operations.empty() && record.operations.front().ticket == 1;
  for (const RecordedOperation& op : record.operations) {
    if (op.step == record.step) now.push_back(&op);
    if (op.step == record.step - 1) before.push_back(&op);
    whole |= op.step < record.step - 1;
  }
  if (!whole || record.step < 2) return "";
  const auto call = [&](const RecordedOperation& op) { return op.Describe(record.GroupName(op.group)); };
  for (size_t i = 0; i < now.size() && i < before.size(); ++i) {
    if (call(*now[i]) == call(*before[i])) continue;
    return absl::StrFormat("calls %s where it called %s in step %d", call(*now[i]), call(*before[i]),
                           record.step - 1);
  }
  return "";
}

}  // namespace

std::string RecordedOperation::Describe() const {
  std::string text = absl::StrCat(op, " '", label);
  if (layer >= 0) absl::StrAppend(&text, " layer=", layer);
  if (microbatch >= 0) absl::StrAppend(&text, " mb=", microbatch);
  absl::StrAppend(&text, "'");
  if (op == "barrier") return text;
  absl::StrAppend(&text, " (");
  if (!reduce.empty()) absl::StrAppend(&text, reduce, ", ");
  if (peer >= 0 && !message()) absl::StrAppend(&text, "root ", peer, ", ");
  if (op != "all_to_all_split") absl::StrAppend(&text, elements, " ");
  return absl::StrCat(text, dtype, ")");
}

const RecordedOperation* FlightRecord::Waiting() const {
  if (waiting == 0) return nullptr;
  for (const RecordedOperation& op : operations) {
    if (op.ticket == waiting) return &op;
  }
  return nullptr;
}

const RecordedOperation* FlightRecord::LastDone() const {
  const RecordedOperation* last = nullptr;
  for (const RecordedOperation& op : operations) {
    if (op.state == "done" && (last == nullptr || op.ended <= last->ended)) last = &op;
  }
  return last;
}

std::string FlightRecord::GroupName(int group) const {
  const auto index = static_cast<size_t>(group);
  return index < groups.size() ? groups[index].name : "?";
}

std::string FlightRecord::GroupKey(int group) const {
  const auto index = static_cast<size_t>(group);
  if (index >= groups.size()) return "";
  const FlightGroup& g = groups[index];
  return absl::StrCat(g.name, ":", RanksText(g.members), "#", g.instance);
}

int FlightRecord::WorldRank(int group, int member) const {
  const auto index = static_cast<size_t>(group);
  if (index >= groups.size() || member < 0) return -1;
  const std::vector<int>& members = groups[index].members;
  return static_cast<size_t>(member) < members.size() ? members[static_cast<size_t>(member)] : -1;
}

std::string FlightRecord::Where() const {
  return place.empty() ? absl::StrCat("rank ", rank) : place;
}

FlightRecord RecordOf(const FlightRecorder& recorder, size_t limit) {
  FlightRecord record;
  record.rank = recorder.rank();
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  record.host = host;
  record.pid = getpid();
  record.step = recorder.step();
  record.activity = recorder.activity();
  record.activity_seconds = recorder.activity_seconds();
  record.timeout = recorder.timeout();
  record.waiting = recorder.waiting();
  // In this order: every entry's group is registered by then.
  const std::vector<FlightEntry> entries = recorder.Entries();
  record.groups = recorder.Groups();
  const auto now = FlightRecorder::Clock::now();
  const size_t first = limit != 0 && entries.size() > limit ? entries.size() - limit : 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    // An unfinished operation is what a hang is about, however old.
    const bool over = entries[i].state == FlightState::kDone || entries[i].state == FlightState::kFailed;
    const uint64_t since = record.groups[static_cast<size_t>(entries[i].group)].since;
    if (entries[i].ticket >= since && (i >= first || !over))
      record.operations.push_back(Recorded(entries[i], now));
  }
  record.odd = OddCall(record);
  return record;
}

void Trim(FlightRecord* record) {
  std::vector<RecordedOperation>& all = record->operations;
  const RecordedOperation* done = record->LastDone();
  const uint64_t last_done = done == nullptr ? 0 : done->ticket;
  std::set<std::string> seen;
  std::vector<RecordedOperation> kept;
  for (size_t i = all.size(); i-- > 0;) {
    const RecordedOperation& op = all[i];
    const std::string channel =
        op.message() ? absl::StrCat(op.group, op.op, op.peer) : absl::StrCat(op.group, "collective");
    const bool newest_of_channel = seen.insert(channel).second;
    if (newest_of_channel || all.size() - i <= kNewestKept || !op.over() || op.ticket == last_done) {
      kept.push_back(op);
    }
  }
  std::reverse(kept.begin(), kept.end());
  all = std::move(kept);
}

}  // namespace orthant
