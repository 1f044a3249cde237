// Where the memory of a whole mesh went: the ranks' accounts, brought together at the end of a run.
#pragma once

#include <string>
#include <vector>

#include "c10/core/Device.h"
#include "orthant/comm/communicator.h"
#include "orthant/memory/account.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

// What a rank that computes on `device` holds: of a GPU, LibTorch's allocator knows the total alone, and
// everything that the account saw is in main memory.
TagBytes BytesOn(c10::Device device, const MemoryAccount& account);
MemoryPeak PeakOn(c10::Device device, const MemoryAccount& account);

// Peaks of all ranks, by rank; every rank's account is the one bound to its thread. Collective.
std::vector<MemoryPeak> GatherPeaks(Communicator& world, c10::Device device = c10::DeviceType::CPU);

// A row for each pipeline stage: of its ranks the one with the largest device peak, by tag where tags are
// known.
std::string PeakTable(const std::vector<MemoryPeak>& peaks, const Mesh& mesh, bool boxes);

}  // namespace orthant
