// RunRanks: run a function on n ranks, whatever the backend. In tier `multirank` each rank is a thread; in
// tier `mpi` each is a process (ranks beyond n wait), so every multi-rank test is written once.
#pragma once

#include <functional>

#include "orthant/comm/communicator.h"

namespace orthant::testing {

// The largest n that RunRanks takes here (tier mpi: mpirun's -n; tier multirank: 64).
int MaxRanks();

// Calls body(world) on n ranks, world.size() == n. A thrown exception or a failed EXPECT on any rank fails
// the calling test with that rank's text. Must be called by every process (tier mpi) in the same order.
void RunRanks(int n, const std::function<void(Communicator& world)>& body);

// The same with comm.check.
void RunCheckedRanks(int n, const std::function<void(Communicator& world)>& body);

}  // namespace orthant::testing
