#include "orthant/report/sweep_charts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orthant/report/svg.h"

namespace orthant {
namespace {

constexpr size_t kMostBars = 64;
// Of an override that the ZeRO stage, the ranks and the other degrees say already.
constexpr const char* kSaid[] = {
    "parallel.zero=", "parallel.data=", "parallel.tensor=", "parallel.pipeline=", "parallel.sequence="};

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

// `title`, and how many of `all` things are shown where it is not all of them.
std::string Shown(const std::string& title, size_t shown, size_t all, const char* things) {
  return shown < all ? absl::StrCat(title, ": the first ", shown, " of ", all, " ", things) : title;
}

// A line a layout that has `fewest` numbers of ranks or more; of more layouts than looks the first ones.
LinePlot OverRanks(const SweepData& sweep, LinePlot plot, size_t fewest, const Value& value) {
  plot.x_label = "ranks";
  plot.from_zero = true;
  const std::vector<std::string> layouts = sweep.Layouts();
  const size_t shown = std::min<size_t>(layouts.size(), kLooks);
  plot.title = Shown(plot.title, shown, layouts.size(), "layouts");
  for (size_t look = 0; look < shown; ++look) {
    Series series{layouts[look], {}, {}, static_cast<int>(look)};
    const std::vector<const SweepFigures*> rows = RowsOf(sweep, layouts[look]);
    if (rows.size() < fewest) continue;
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
  if (most > least) plot->series.push_back({"ideal", {least, most}, {least, most}, kIdeal});
}

ScatterPlot Predicted(const SweepData& sweep, ScatterPlot plot, double CaseRecord::*predicted,
                      double SweepFigures::*measured) {
  plot.front = false;
  plot.diagonal = true;
  const std::vector<std::string> layouts = sweep.Layouts();
  plot.title = Shown(plot.title, std::min<size_t>(layouts.size(), kLooks), layouts.size(), "layouts");
  for (const SweepRow& row : sweep.rows) {
    const double x = row.record.*predicted, y = row.figures.*measured;
    if (!row.measured || !(x > 0) || !(y > 0)) continue;
    const auto at = std::find(layouts.begin(), layouts.end(), row.record.what.layout) - layouts.begin();
    if (at < kLooks) plot.points.push_back({x, y, row.record.what.name, static_cast<int>(at)});
  }
  return plot;
}

// What cases must have in common, the ZeRO stage apart, for their memory to compare.
struct Alike {
  int64_t ranks = 0;
  std::string rest;                    // the degrees beside data
  std::vector<std::string> overrides;  // that say anything else
  friend auto operator<=>(const Alike&, const Alike&) = default;
};

// Of weak scaling the ranks say the batch too.
Alike AlikeOf(const SweepRow& row, bool weak) {
  Alike alike{row.figures.ranks, row.figures.rest, {}};
  for (const std::string& text : row.record.what.overrides) {
    const bool said = std::any_of(std::begin(kSaid), std::end(kSaid),
                                  [&](const char* key) { return absl::StartsWith(text, key); }) ||
                      (weak && absl::StartsWith(text, "train.global_batch="));
    if (!said) alike.overrides.push_back(text);
  }
  std::sort(alike.overrides.begin(), alike.overrides.end());
  return alike;
}

// "4 ranks, tensor 2, train.micro_batch=2"; what all lines have in common goes without saying.
std::string NameOf(const Alike& alike, const std::vector<std::string>& common) {
  std::string name = absl::StrCat(alike.ranks, alike.ranks == 1 ? " rank" : " ranks",
                                  alike.rest.empty() ? "" : ", ", alike.rest);
  for (const std::string& text : alike.overrides) {
    if (std::find(common.begin(), common.end(), text) == common.end()) absl::StrAppend(&name, ", ", text);
  }
  return name;
}

}  // namespace

LinePlot StepTimeOverRanks(const SweepData& sweep) {
  LinePlot plot;
  plot.title = "Step time";
  plot.y_label = "median of a step";
  plot.quantity = Quantity::kSeconds;
  return OverRanks(sweep, plot, 1,
                   [](const SweepFigures& one, const SweepFigures&) { return one.step_seconds; });
}

LinePlot ThroughputOverRanks(const SweepData& sweep) {
  LinePlot plot;
  plot.title = "Tokens a second";
  plot.y_label = "of all ranks";
  plot.quantity = Quantity::kCount;
  return OverRanks(sweep, plot, 1,
                   [](const SweepFigures& one, const SweepFigures&) { return one.tokens_per_second; });
}

LinePlot SpeedUp(const SweepData& sweep) {
  LinePlot plot;
  plot.title = absl::StrCat("Speed-up, ", sweep.state.scaling, " scaling");
  plot.y_label = "times the first";
  plot = OverRanks(sweep, plot, 2, SpeedUpOf);
  AddIdeal(&plot);
  return plot;
}

LinePlot Efficiency(const SweepData& sweep) {
  LinePlot plot;
  plot.title = absl::StrCat("Efficiency, ", sweep.state.scaling, " scaling");
  plot.y_label = "speed-up over ranks";
  plot.quantity = Quantity::kShare;
  return OverRanks(sweep, plot, 2, [](const SweepFigures& one, const SweepFigures& first) {
    return SpeedUpOf(one, first) / static_cast<double>(one.ranks);
  });
}

BarChart MfuByLayout(const SweepData& sweep) {
  BarChart chart{"Model FLOPs utilisation by layout", Quantity::kShare, {}, {}};
  size_t measured = 0;
  for (const SweepRow& row : sweep.rows) {
    if (!row.measured || !std::isfinite(row.figures.mfu)) continue;
    ++measured;
    if (chart.bars.size() < kMostBars) chart.bars.push_back({row.record.what.name, {row.figures.mfu}});
  }
  chart.title = Shown(chart.title, chart.bars.size(), measured, "cases");
  return chart;
}

LinePlot MemoryOverZero(const SweepData& sweep) {
  LinePlot plot{
      "Peak memory by ZeRO stage", "ZeRO stage", "rank that holds most", Quantity::kBytes, true, {}};
  std::map<Alike, std::map<int, double>> lines;
  for (const SweepRow& row : sweep.rows) {
    if (row.measured && std::isfinite(row.figures.memory_bytes))
      lines[AlikeOf(row, sweep.state.scaling == "weak")].emplace(row.figures.zero, row.figures.memory_bytes);
  }
  std::erase_if(lines, [](const auto& line) { return line.second.size() < 2; });
  std::vector<std::string> common =
      lines.empty() ? std::vector<std::string>() : lines.begin()->first.overrides;
  for (const auto& [alike, stages] : lines) {
    std::erase_if(common, [&](const std::string& text) {
      return !std::binary_search(alike.overrides.begin(), alike.overrides.end(), text);
    });
  }
  plot.title = Shown(plot.title, std::min<size_t>(lines.size(), kLooks), lines.size(), "kinds of case");
  for (const auto& [alike, stages] : lines) {
    if (plot.series.size() == kLooks) break;
    Series series{NameOf(alike, common), {}, {}, static_cast<int>(plot.series.size())};
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
