// Fits a planner's constants to measured rows: least squares of relative errors, robust against rows that
// went wrong, drawn to starting values by priors. Used by calibrate_plan.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "orthant/plan/measured_rows.h"
#include "orthant/plan/prediction_quality.h"

namespace orthant::bench {

// A constant that may move: multiplied by exp(x) in each of `machines`, x drawn to 0 with width `prior`.
struct FreeConstant {
  std::string name;
  double Constants::*member;
  std::vector<size_t> machines;
  double prior = 0.3;
};

struct FitRow {
  MeasuredRow row;
  size_t machine = 0;
  double weight = 1;
};

// Levenberg-Marquardt on `residuals`, from 0. Deterministic.
std::vector<double> LeastSquares(
    const std::function<std::vector<double>(const std::vector<double>&)>& residuals, size_t unknowns,
    int iterations);

// The machines with their constants fitted to `rows`. `width`: relative error beyond which a row counts less.
std::vector<Machine> FitConstants(const std::vector<Machine>& machines, const std::vector<FreeConstant>& free,
                                  const std::vector<FitRow>& rows, double width);

// Predicted / measured - 1.
std::vector<double> Errors(const std::vector<Machine>& machines, const std::vector<FitRow>& rows);

PredictionQuality Summarize(const std::vector<FitRow>& rows, const std::vector<double>& errors);

}  // namespace orthant::bench
