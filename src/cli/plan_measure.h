// `orthant plan --measure`: takes the step of a plan's layouts on this machine.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/run_file.h"
#include "orthant/plan/machine.h"
#include "orthant/plan/measured_layouts.h"

namespace orthant {

struct MeasureOptions {
  int64_t layouts = 0;  // so many; 0: none
  bool spread = false;  // evenly from the quickest to the slowest, not the best
  int64_t steps = 20;   // of each
};

// ConfigurationError when the machine's figures are not of this one, which steps taken here say nothing of.
absl::Status CheckMeasurable(const Machine& machine);

// `orthant bench step` for each in turn, a process whose threads are the ranks. `ranked`: quickest first.
// Ranks have the threads that `machine` was measured with. A layout that does not run is recorded with its
// error. A signal stops it (exit code 7).
absl::StatusOr<std::vector<MeasuredLayout>> MeasureLayouts(const std::vector<LayoutPrediction>& ranked,
                                                           const RunFileOptions& run, const Machine& machine,
                                                           const MeasureOptions& options);

}  // namespace orthant
