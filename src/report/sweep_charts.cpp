#include "orthant/report/sweep_charts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

constexpr size_t kMostBars = 64;

using Value = std::function<double(const SweepFigures& figures, const SweepFigures& first)>;

// The measured rows of a layout, by ranks; of several on as many ranks the first.
std::vector<const SweepFigures*> RowsOf(const SweepData& sweep, const std::string& layout) {
  std::map<int64_t, const SweepFigures*> by_ranks;
  for (const SweepRow& row : sweep.rows) {
    if (row.measured && row.record.what.layout == layout) by_ranks.emplace(row.figures.ranks, &row.figures);
  }
  std::vector<const SweepFigures*> rows;
  for (const auto& [ranks, figures] : by_ranks) rows.push_back(figures);
  return rows;
}

LinePlot OverRanks(const SweepData& sweep, LinePlot plot, const Value& value) {
  plot.x_label = "ranks";
  plot.from_zero = true;
  int colour = 0;
  for (const std::string& layout : sweep.Layouts()) {
    Series series{layout, {}, {}, colour++ % 8};
    const std::vector<const SweepFigures*> rows = RowsOf(sweep, layout);
    for (const SweepFigures* row : rows) {
      series.x.push_back(static_cast<double>(row->ranks));
      series.y.push_back(value(*row, *rows.front()));
    }
    if (!series.x.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

double SpeedUpOf(const SweepFigures& one, const SweepFigures& first) {
  return one.tokens_per_second / first.tokens_per_second * static_cast<double>(first.ranks);
}

// y = x over the ranks of a plot.
void AddIdeal(LinePlot* plot) {
  double most = 0, least = INFINITY;
  for (const Series& series : plot->series) {
    most = std::max(most, series.x.back());
    least = std::min(least, series.x.front());
  }
  if (most > least) plot->series.push_back({"ideal", {least, most}, {least, most}, 6});
}

ScatterPlot Predicted(const SweepData& sweep, ScatterPlot plot, double CaseRecord::*predicted,
                      double SweepFigures::*measured) {
  plot.front = false;
  plot.diagonal = true;
  const std::vector<std::string> layouts = sweep.Layouts();
  for (const SweepRow& row : sweep.rows) {
    const double x = row.record.*predicted, y = row.figures.*measured;
    if (!row.measured || !(x > 0) || !(y > 0)) continue;
    const auto at = std::find(layouts.begin(), layouts.end(), row.record.what.layout);
    plot.points.push_back({x, y, row.record.what.name, static_cast<int>((at - layouts.begin()) % 8)});
  }
  return plot;
}

}  // namespace

LinePlot StepTimeOverRanks(const SweepData& sweep) {
  LinePlot plot;
  plot.title = "Step time";
  plot.y_label = "median of a step";
  plot.quantity = Quantity::kSeconds;
  return OverRanks(sweep, plot,
                   [](const SweepFigures& one, const SweepFigures&) { return one.step_seconds; });
}

LinePlot ThroughputOverRanks(const SweepData& sweep) {
  LinePlot plot;
  plot.title = "Tokens a second";
  plot.y_label = "of all ranks";
  plot.quantity = Quantity::kCount;
  return OverRanks(sweep, plot,
                   [](const SweepFigures& one, const SweepFigures&) { return one.tokens_per_second; });
}

LinePlot SpeedUp(const SweepData& sweep) {
  LinePlot plot;
  plot.title = absl::StrCat("Speed-up, ", sweep.state.scaling, " scaling");
  plot.y_label = "times the first";
  plot = OverRanks(sweep, plot, SpeedUpOf);
  AddIdeal(&plot);
  return plot;
}

LinePlot Efficiency(const SweepData& sweep) {
  LinePlot plot;
  plot.title = absl::StrCat("Efficiency, ", sweep.state.scaling, " scaling");
  plot.y_label = "speed-up over ranks";
  plot.quantity = Quantity::kShare;
  return OverRanks(sweep, plot, [](const SweepFigures& one, const SweepFigures& first) {
    return SpeedUpOf(one, first) / static_cast<double>(one.ranks);
  });
}

BarChart MfuByLayout(const SweepData& sweep) {
  BarChart chart{"Model FLOPs utilisation by layout", Quantity::kShare, {}, {}};
  for (const SweepRow& row : sweep.rows) {
    if (row.measured && std::isfinite(row.figures.mfu) && chart.bars.size() < kMostBars)
      chart.bars.push_back({row.record.what.name, {row.figures.mfu}});
  }
  return chart;
}

LinePlot MemoryOverZero(const SweepData& sweep) {
  LinePlot plot{
      "Peak memory by ZeRO stage", "ZeRO stage", "rank that holds most", Quantity::kBytes, true, {}};
  std::map<std::pair<int64_t, std::string>, std::map<int, double>> lines;
  for (const SweepRow& row : sweep.rows) {
    if (row.measured && std::isfinite(row.figures.memory_bytes))
      lines[{row.figures.ranks, row.figures.rest}].emplace(row.figures.zero, row.figures.memory_bytes);
  }
  for (const auto& [which, stages] : lines) {
    if (stages.size() < 2) continue;
    Series series{absl::StrCat(which.first, which.first == 1 ? " rank" : " ranks",
                               which.second.empty() ? "" : ", " + which.second),
                  {},
                  {},
                  static_cast<int>(plot.series.size() % 8)};
    for (const auto& [stage, bytes] : stages) {
      series.x.push_back(stage);
      series.y.push_back(bytes);
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

ScatterPlot PredictedTime(const SweepData& sweep) {
  ScatterPlot plot;
  plot.title = "Step time, predicted and measured";
  plot.x_label = "predicted by orthant plan";
  plot.y_label = "measured";
  plot.x_quantity = plot.y_quantity = Quantity::kSeconds;
  return Predicted(sweep, plot, &CaseRecord::predicted_seconds, &SweepFigures::step_seconds);
}

ScatterPlot PredictedMemory(const SweepData& sweep) {
  ScatterPlot plot;
  plot.title = "Peak memory, predicted and measured";
  plot.x_label = "predicted by orthant plan";
  plot.y_label = "measured";
  plot.x_quantity = plot.y_quantity = Quantity::kBytes;
  return Predicted(sweep, plot, &CaseRecord::predicted_bytes, &SweepFigures::memory_bytes);
}

std::vector<Picture> Pictures(const SweepData& sweep) {
  std::vector<Picture> pictures;
  const std::pair<const char*, LinePlot> lines[] = {{"step-time", StepTimeOverRanks(sweep)},
                                                    {"throughput", ThroughputOverRanks(sweep)},
                                                    {"speed-up", SpeedUp(sweep)},
                                                    {"efficiency", Efficiency(sweep)},
                                                    {"memory-by-zero", MemoryOverZero(sweep)}};
  for (const auto& [name, plot] : lines) {
    if (!plot.series.empty()) pictures.push_back({name, DrawFile(plot)});
  }
  if (const BarChart mfu = MfuByLayout(sweep); !mfu.bars.empty()) pictures.push_back({"mfu", DrawFile(mfu)});
  const std::pair<const char*, ScatterPlot> points[] = {{"predicted-time", PredictedTime(sweep)},
                                                        {"predicted-memory", PredictedMemory(sweep)}};
  for (const auto& [name, plot] : points) {
    if (!plot.points.empty()) pictures.push_back({name, DrawFile(plot)});
  }
  return pictures;
}

}  // namespace orthant
