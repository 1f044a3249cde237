// Layouts of a plan whose step was then taken, and how the plan stands beside that. Pure.
#pragma once

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "orthant/core/terminal.h"
#include "orthant/plan/prediction_quality.h"
#include "orthant/plan/step_model.h"

namespace orthant {

struct MeasuredLayout {
  LayoutPrediction prediction;
  double seconds = 0;  // median of its steps; 0: it could not be run
  std::string error;   // why not
};

// Of those that ran.
PredictionQuality QualityOf(const std::vector<MeasuredLayout>& measured);
// The one with the least measured time; null: none ran.
const MeasuredLayout* QuickestOf(const std::vector<MeasuredLayout>& measured);

std::string MeasuredText(const std::vector<MeasuredLayout>& measured, TableStyle style);
// {"layouts": [{layout, predicted_seconds, measured_seconds | error}], "mean_error", "rank_correlation", ...}
nlohmann::ordered_json MeasuredJson(const std::vector<MeasuredLayout>& measured);

}  // namespace orthant
