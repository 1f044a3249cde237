#include "comm/wait_graph.h"

#include <algorithm>

namespace orthant {

WaitGraph::WaitGraph(const std::vector<FlightRecord>& records) {
  for (const FlightRecord& record : records) records_[record.rank] = &record;
  for (const FlightRecord& record : records) {
    std::vector<int>& missing = waits_for_[record.rank];
    const RecordedOperation* op = record.Waiting();
    if (op == nullptr) continue;
    std::vector<int> partners;
    if (op->message()) {
      partners = {record.WorldRank(op->group, op->peer)};
    } else {
      partners = record.groups[static_cast<size_t>(op->group)].members;
    }
    for (const int partner : partners) {
      if (partner >= 0 && partner != record.rank && !HasCalled(record, *op, partner))
        missing.push_back(partner);
    }
  }
}

// Whether rank `other` has called what `caller` waits in, as far as its record tells.
bool WaitGraph::HasCalled(const FlightRecord& caller, const RecordedOperation& op, int other) const {
  const FlightRecord* record = Record(other);
  if (record == nullptr) return false;
  const std::string key = caller.GroupKey(op.group);
  if (!op.message()) {
    for (size_t g = 0; g < record->groups.size(); ++g) {
      if (record->groups[g].issued >= op.sequence && record->GroupKey(static_cast<int>(g)) == key)
        return true;
    }
    return false;
  }
  return std::any_of(record->operations.begin(), record->operations.end(), [&](const RecordedOperation& o) {
    return o.message() && o.send() != op.send() && o.sequence >= op.sequence &&
           record->WorldRank(o.group, o.peer) == caller.rank && record->GroupKey(o.group) == key;
  });
}

const FlightRecord* WaitGraph::Record(int rank) const {
  const auto found = records_.find(rank);
  return found == records_.end() ? nullptr : found->second;
}

const std::vector<int>& WaitGraph::WaitsFor(int rank) const {
  static const std::vector<int> kNobody;
  const auto found = waits_for_.find(rank);
  return found == waits_for_.end() ? kNobody : found->second;
}

std::vector<int> WaitGraph::Roots() const {
  std::set<int> roots;
  for (const auto& [rank, missing] : waits_for_) {
    for (const int other : missing) {
      if (WaitsFor(other).empty()) roots.insert(other);
    }
  }
  return {roots.begin(), roots.end()};
}

int WaitGraph::LongestWaiter(int rank, int* others) const {
  int longest = -1;
  double seconds = -1;
  *others = 0;
  std::vector<int> waiters;
  for (const auto& [waiter, missing] : waits_for_) {
    if (std::find(missing.begin(), missing.end(), rank) == missing.end()) continue;
    waiters.push_back(waiter);
    const double waited = Record(waiter)->Waiting()->queued;
    if (waited > seconds) {
      longest = waiter;
      seconds = waited;
    }
  }
  const auto place = [this](int waiter) {
    const FlightRecord& record = *Record(waiter);
    return std::pair(record.GroupKey(record.Waiting()->group), record.Waiting()->sequence);
  };
  for (const int waiter : waiters) *others += waiter != longest && place(waiter) == place(longest) ? 1 : 0;
  return longest;
}

}  // namespace orthant
