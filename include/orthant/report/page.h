// The page that `orthant report` writes: one HTML file, whole without a network, readable without script.
#pragma once

#include <string>
#include <vector>

#include "orthant/report/run_data.h"

namespace orthant {

// More curves cannot be told apart.
inline constexpr size_t kMostRuns = 8;

// 1 to kMostRuns runs, whose labels differ (DistinguishLabels).
std::string ReportPage(const std::vector<RunData>& runs);

}  // namespace orthant
