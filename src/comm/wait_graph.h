// Who waits for whom, from flight records: a rank inside an operation waits for those that have not called
// it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "orthant/comm/flight_record.h"

namespace orthant {

class WaitGraph {
 public:
  explicit WaitGraph(const std::vector<FlightRecord>& records);

  // Null: the rank has no record.
  const FlightRecord* Record(int rank) const;
  // The ranks that `record` waits for in its operation; empty when it is in none, or all have called it.
  const std::vector<int>& WaitsFor(int rank) const;
  // Ranks that somebody waits for and that wait for nobody themselves, ascending.
  std::vector<int> Roots() const;
  // Of the ranks that wait for `rank` directly, the one that waits longest; -1: none does. `others`: how many
  // more wait for it in the same operation.
  int LongestWaiter(int rank, int* others) const;

 private:
  bool HasCalled(const FlightRecord& caller, const RecordedOperation& op, int other) const;

  std::map<int, const FlightRecord*> records_;
  std::map<int, std::vector<int>> waits_for_;
};

}  // namespace orthant
