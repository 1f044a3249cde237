// The picture of a schedule around one failing cell, for error messages.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

// Steps as lines, ranks as columns, a few of each around (rank, index); the line of the cell ends in
// `<-- ERROR HERE`. An index at the end of the row shows where an action is missing.
std::string GridAround(const Schedule& schedule, int rank, int index);

// ConfigurationError: schedule, rank, action number and cell, `problem`, grid.
absl::Status ErrorAt(const Schedule& schedule, int rank, int index, const std::string& problem);

}  // namespace orthant
