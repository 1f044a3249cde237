// Where the memory of a whole mesh went: the ranks' accounts, brought together at the end of a run.
#pragma once

#include <string>
#include <vector>

#include "orthant/comm/communicator.h"
#include "orthant/memory/account.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

// Peaks of all ranks, by rank; every rank's account is the one bound to its thread. Collective.
std::vector<MemoryPeak> GatherPeaks(Communicator& world);

// A row for each pipeline stage: of its ranks the one with the largest device peak, by tag.
std::string PeakTable(const std::vector<MemoryPeak>& peaks, const Mesh& mesh, bool boxes);

}  // namespace orthant
