// What is measured: a core, memory, a folder's disk, the links between ranks. Small: a second or two in all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/comm/communicator.h"
#include "orthant/doctor/facts.h"
#include "orthant/doctor/links.h"

namespace orthant::doctor {

struct CoreSpeed {
  double flops = 0;  // FLOP/s of the best of several fp32 matrix products on one core, by the core's own
                     // clock (what other processes take from us does not count)
  double share = 0;  // of the time in which this thread had a core: below 1 others wanted it too
};
CoreSpeed MeasureCore();

// Bytes a second copied from memory to memory, the best of several copies beyond the caches.
double MeasureCopy();

// Writes and reads the new file `name` of `bytes` in `folder` and removes it. The name must be this process's
// alone among all that see the folder: process ids are not, on several hosts.
DiskSpeed MeasureDisk(const std::string& folder, const std::string& name, int64_t bytes = int64_t{16} << 20);

// Measures the links between `nodes`, each the world rank that speaks for it, in the rounds of PairRounds:
// small messages there and back, then large ones. Returns the links that this rank measured as their first
// end (no other rank has them). Collective over the world: ranks that are no node only wait between rounds.
std::vector<Link> MeasureLinks(Communicator& world, const std::vector<int>& nodes);

}  // namespace orthant::doctor
