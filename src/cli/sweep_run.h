// Running a sweep's cases one after another, and recording what becomes of each.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "orthant/sweep/case_process.h"
#include "orthant/sweep/sweep_file.h"
#include "orthant/sweep/sweep_state.h"

namespace orthant {

struct SweepRunOptions {
  bool retry_failed = false;
};

// Runs the `chosen` cases (indices) that are not over; sweep.json follows every change. A line a case on
// stderr. A case that fails is recorded, and the next one runs. The exit code 7 when a signal stopped the
// sweep; EnvironmentError when the record cannot be written or no case can be started.
absl::Status RunCases(const SweepFile& file, const std::vector<size_t>& chosen,
                      const SweepRunOptions& options, SweepState* state);

}  // namespace orthant
