#include "plan_scatter.h"

#include <cmath>
#include <limits>
#include <map>
#include <tuple>

namespace orthant::bench {
namespace {

double Passes(const FitRow& row) {
  const PlannedLayout& l = row.row.layout;
  return static_cast<double>(row.row.global_batch / (l.data * l.micro_batch) + l.pipeline - 1);
}

struct Curve {
  double a = 0, b = 0;

  double ErrorOn(const FitRow& row) const {
    const double pass = a + b * static_cast<double>(row.row.layout.micro_batch);
    return Passes(row) * pass / row.row.seconds - 1;
  }
};

// Of two unknowns the curve of least absolute errors goes through two of the points.
Curve Fit(const std::vector<FitRow>& rows) {
  Curve best;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t k = i + 1; k < rows.size(); ++k) {
      const double x = static_cast<double>(rows[i].row.layout.micro_batch);
      const double run = static_cast<double>(rows[k].row.layout.micro_batch) - x;
      if (run == 0) continue;
      const double y = rows[i].row.seconds / Passes(rows[i]);
      Curve curve;
      curve.b = (rows[k].row.seconds / Passes(rows[k]) - y) / run;
      curve.a = y - curve.b * x;
      double sum = 0;
      for (const FitRow& row : rows) sum += std::abs(curve.ErrorOn(row));
      if (sum >= least) continue;
      least = sum;
      best = curve;
    }
  }
  return best;
}

}  // namespace

RowScatter ScatterOf(const std::vector<FitRow>& rows) {
  std::map<std::tuple<std::string, int64_t, int64_t, int64_t>, std::vector<FitRow>> meshes;
  for (const FitRow& row : rows) {
    const PlannedLayout& l = row.row.layout;
    meshes[{row.row.model, l.tensor, l.data, l.pipeline}].push_back(row);
  }
  RowScatter scatter;
  for (const auto& [mesh, members] : meshes) {
    if (members.size() < 3) continue;
    for (size_t i = 0; i < members.size(); ++i) {
      std::vector<FitRow> others = members;
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
      scatter.rows.push_back(members[i]);
      scatter.errors.push_back(Fit(others).ErrorOn(members[i]));
    }
  }
  return scatter;
}

}  // namespace orthant::bench
