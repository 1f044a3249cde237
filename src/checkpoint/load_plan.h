// Which slices of a checkpoint hold elements that are wanted, and what goes where. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/read_ahead.h"
#include "orthant/checkpoint/reader.h"

namespace orthant {

// Elements that two lists of runs share, by their place in the logical tensor.
struct SharedRun {
  int64_t a = 0, b = 0, length = 0;  // `local` of each side
};
std::vector<SharedRun> SharedRuns(const std::vector<LogicalRun>& a, const std::vector<LogicalRun>& b);

struct PlannedSlice {
  const CheckpointManifest::Key* key = nullptr;
  const LogicalTensor* tensor = nullptr;
  const Slice* slice = nullptr;
  std::vector<size_t> targets;  // that share elements with it
};

struct LoadPlan {
  std::vector<PlannedSlice> slices;                // in the order of files and offsets
  std::vector<std::vector<LogicalRun>> runs;       // of each target
  std::vector<Stretch> stretches;                  // neighbouring slices, read at once
  std::vector<std::pair<size_t, size_t>> members;  // of each stretch: [first, last) in slices
};

// Keeps pointers into the manifest. DataError: not in the checkpoint, another shape, elements that no slice
// holds.
absl::StatusOr<LoadPlan> PlanLoad(const CheckpointManifest& manifest, const std::string& folder,
                                  const std::vector<StateTarget>& targets);

}  // namespace orthant
