#include "plan_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace orthant::bench {
namespace {

double SumOfSquares(const std::vector<double>& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

// Solves a x = b for a symmetric positive definite `a` by Gauss's elimination; n is a dozen.
std::vector<double> Solve(std::vector<std::vector<double>> a, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t r = i + 1; r < n; ++r) {
      const double factor = a[r][i] / a[i][i];
      for (size_t c = i; c < n; ++c) a[r][c] -= factor * a[i][c];
      b[r] -= factor * b[i];
    }
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t c = i + 1; c < n; ++c) b[i] -= a[i][c] * b[c];
    b[i] /= a[i][i];
  }
  return b;
}

std::vector<Machine> Moved(const std::vector<Machine>& machines, const std::vector<FreeConstant>& free,
                           const std::vector<double>& x) {
  std::vector<Machine> moved = machines;
  for (size_t i = 0; i < free.size(); ++i)
    for (const size_t machine : free[i].machines)
      moved[machine].calibration.constants.*free[i].member *= std::exp(x[i]);
  return moved;
}

}  // namespace

std::vector<double> LeastSquares(
    const std::function<std::vector<double>(const std::vector<double>&)>& residuals, size_t n,
    int iterations) {
  constexpr double kStep = 1e-3;
  std::vector<double> x(n, 0.0), r = residuals(x);
  double cost = SumOfSquares(r), damping = 1e-2;
  for (int iteration = 0; iteration < iterations && damping < 1e8; ++iteration) {
    std::vector<std::vector<double>> columns(n);
    for (size_t i = 0; i < n; ++i) {
      std::vector<double> moved = x;
      moved[i] += kStep;
      columns[i] = residuals(moved);
      for (size_t k = 0; k < r.size(); ++k) columns[i][k] = (columns[i][k] - r[k]) / kStep;
    }
    std::vector<std::vector<double>> a(n, std::vector<double>(n));
    std::vector<double> b(n);
    for (size_t i = 0; i < n; ++i) {
      b[i] = -std::inner_product(columns[i].begin(), columns[i].end(), r.begin(), 0.0);
      for (size_t k = 0; k < n; ++k)
        a[i][k] = std::inner_product(columns[i].begin(), columns[i].end(), columns[k].begin(), 0.0);
    }
    bool better = false;
    while (!better && damping < 1e8) {
      std::vector<std::vector<double>> damped = a;
      for (size_t i = 0; i < n; ++i) damped[i][i] += damping * a[i][i] + 1e-12;
      std::vector<double> next = Solve(damped, b);
      for (size_t i = 0; i < n; ++i) next[i] = x[i] + std::clamp(next[i], -0.5, 0.5);
      const std::vector<double> there = residuals(next);
      better = SumOfSquares(there) < cost;
      damping *= better ? 0.3 : 4;
      if (!better) continue;
      const double gain = cost - SumOfSquares(there);
      x = next;
      r = there;
      cost -= gain;
      if (gain < 1e-9 * cost) return x;
    }
  }
  return x;
}

std::vector<double> Errors(const std::vector<Machine>& machines, const std::vector<FitRow>& rows) {
  std::vector<double> errors;
  for (const FitRow& row : rows)
    errors.push_back(PredictRow(row.row, machines[row.machine])->time.step / row.row.seconds - 1);
  return errors;
}

std::vector<Machine> FitConstants(const std::vector<Machine>& machines, const std::vector<FreeConstant>& free,
                                  const std::vector<FitRow>& rows, double width) {
  const auto residuals = [&](const std::vector<double>& x) {
    const std::vector<double> errors = Errors(Moved(machines, free, x), rows);
    std::vector<double> r;
    for (size_t i = 0; i < rows.size(); ++i) {
      const double e = std::log1p(errors[i]) / width;
      r.push_back(std::sqrt(rows[i].weight * std::log1p(e * e)));  // Cauchy's loss
    }
    for (size_t i = 0; i < free.size(); ++i) r.push_back(x[i] / free[i].prior);
    return r;
  };
  return Moved(machines, free, LeastSquares(residuals, free.size(), 40));
}

PredictionQuality Summarize(const std::vector<FitRow>& rows, const std::vector<double>& errors) {
  std::vector<double> measured, predicted;
  for (size_t i = 0; i < rows.size(); ++i) {
    measured.push_back(rows[i].row.seconds);
    predicted.push_back(rows[i].row.seconds * (1 + errors[i]));
  }
  return QualityOf(predicted, measured);
}

}  // namespace orthant::bench
