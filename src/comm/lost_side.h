// Which hosts are lost, worked out from who has answered: a host that is down or cut off takes all of its
// ranks along. A pure function, and equal in its outcome on both sides of a network that has come apart.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/wait_graph.h"
#include "orthant/comm/verdict.h"

namespace orthant {

struct LostSide {
  std::vector<int> ranks;  // on the lost hosts
  bool ours = false;       // the records are those of the lost ranks: it is they who hear nothing
  std::string text;        // one clause
};

// Hosts are lost when none of their ranks has a record, is known to be dead or to be suspended, and somebody
// waits for one of them, or nobody for anyone. Of two sides the smaller is the lost one, of equal ones that
// without the lowest rank. `absent`: by rank. None: no such host.
std::optional<LostSide> FindLostSide(const std::vector<FlightRecord>& records,
                                     const std::map<int, AbsentRank>& absent, const WaitGraph& graph);

}  // namespace orthant
