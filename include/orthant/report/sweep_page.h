// The page that `orthant report SWEEP_DIR` writes: a sweep's plots, the numbers behind them, each case.
#pragma once

#include <string>

#include "orthant/report/sweep_data.h"

namespace orthant {

// One HTML file, as ReportPage. A plot without a case to show stands there with what it wants.
std::string SweepPage(const SweepData& sweep);

}  // namespace orthant
