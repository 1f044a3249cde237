// What `orthant sweep` knows of its cases before any runs: whether they are legal, and what the planner says.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "orthant/config/fields.h"
#include "orthant/sweep/sweep_file.h"
#include "orthant/sweep/sweep_state.h"

namespace orthant {

// Every case of the file, waiting or, with the run's own message, illegal.
SweepState JudgeCases(const SweepFile& file);

// Where the calibration for `ranks` lies: of sweep.calibration, or where `measure` puts it; "" without one.
std::string CalibrationOf(const SweepSettings& settings, int64_t ranks);

// Fills in what the planner predicts for the legal cases of as many ranks as `ranks`, 0: all, on the machine
// of `calibration`. ConfigurationError where the machine's files are not fit.
absl::Status PredictCases(const SweepFile& file, const std::string& calibration, int64_t ranks,
                          SweepState* state);

}  // namespace orthant
