#include "orthant/report/charts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/report/markup.h"
#include "orthant/report/pipeline_view.h"

namespace orthant {
namespace {

// Empty where the column has no number.
Series SeriesOf(const MetricsTable& metrics, const std::string& column, const std::string& name, int colour,
                bool evaluated = false) {
  Series series{name, {}, {}, colour};
  const std::vector<double>& values = metrics.Column(column);
  if (std::none_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) return series;
  for (size_t i = 0; i < values.size(); ++i) {
    if (evaluated && !std::isfinite(values[i]) && !metrics.IsNull(column, i)) continue;
    series.x.push_back(metrics.steps[i]);
    series.y.push_back(values[i]);
  }
  return series;
}

// A category of memory has one colour, whichever others there are (the order of MemoryTagName).
int ColourOf(const std::string& tag) {
  static const std::vector<std::string> tags = {"parameters",    "gradients", "optimizer", "activations",
                                                "communication", "temporary", "host"};
  return static_cast<int>(std::find(tags.begin(), tags.end(), tag) - tags.begin());
}

bool KnowsCategories(const RankMemory& memory) {
  return memory.device_bytes <= 0 ||
         std::any_of(memory.at_peak.begin(), memory.at_peak.end(),
                     [](const auto& part) { return part.first != "host" && part.second > 0; });
}

// Before a run's pictures: nothing for one run, else its label as a file's name, with a number where an
// earlier run's is the same.
std::vector<std::string> PrefixesOf(const std::vector<RunData>& runs) {
  std::vector<std::string> prefixes;
  if (runs.size() == 1) return {""};
  for (const RunData& run : runs) {
    const std::string slug = Slug(run.label);
    std::string prefix = slug + "-";
    for (int n = 2; std::find(prefixes.begin(), prefixes.end(), prefix) != prefixes.end(); ++n)
      prefix = absl::StrCat(slug, "-", n, "-");
    prefixes.push_back(prefix);
  }
  return prefixes;
}

std::vector<std::string> NestedColumns(const MetricsTable& metrics, const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& [name, column] : metrics.columns) {
    if (name.rfind(prefix, 0) == 0) names.push_back(name);
  }
  return names;
}

}  // namespace

const std::vector<Curve>& Curves() {
  static const std::vector<Curve> curves = {
      {"loss", "loss", "Training loss", "nats a token", Quantity::kNumber, false, false},
      {"validation", "val_loss", "Validation loss", "nats a token", Quantity::kNumber, false, true},
      {"gradient-norm", "grad_norm", "Gradient norm", "before clipping", Quantity::kNumber, true, false},
      {"learning-rate", "lr", "Learning rate", "", Quantity::kNumber, true, false},
      {"tokens", "tps", "Tokens a second", "whole mesh", Quantity::kCount, true, false},
      {"mfu", "mfu", "Model FLOPs utilisation", "share of the peak", Quantity::kShare, true, false},
      {"memory", "mem_peak_bytes", "Peak device memory", "rank 0, so far", Quantity::kBytes, true, false},
  };
  return curves;
}

LinePlot CurveOf(const std::vector<RunData>& runs, const Curve& curve) {
  LinePlot plot{curve.title, "step", curve.y_label, curve.quantity, curve.from_zero, {}};
  for (size_t r = 0; r < runs.size(); ++r) {
    Series series =
        SeriesOf(runs[r].metrics, curve.column, runs[r].label, static_cast<int>(r), curve.evaluated);
    if (!series.x.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

BarChart MemoryByRank(const RunData& run, size_t most) {
  BarChart chart{"Peak device memory by rank", Quantity::kBytes, {}, {}};
  const auto start = std::find_if(run.starts.rbegin(), run.starts.rend(),
                                  [](const RunStart& s) { return !s.memory.empty(); });
  if (start == run.starts.rend()) return chart;
  const bool by_tag = std::all_of(start->memory.begin(), start->memory.end(), KnowsCategories);
  for (const auto& [tag, bytes] : start->memory.front().at_peak) {
    if (by_tag && tag != "host") chart.parts.push_back(tag);
  }
  std::vector<std::pair<double, Bar>> bars;
  for (size_t rank = 0; rank < start->memory.size(); ++rank) {
    const RankMemory& memory = start->memory[rank];
    Bar bar{absl::StrCat("rank ", rank), {}};
    for (const auto& [tag, bytes] : memory.at_peak) {
      if (by_tag && tag != "host") bar.parts.push_back(bytes);
    }
    if (!by_tag) bar.parts = {memory.device_bytes};
    bars.emplace_back(memory.device_bytes, std::move(bar));
  }
  if (bars.size() > most) {
    std::stable_sort(bars.begin(), bars.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    bars.resize(most);
    chart.title =
        absl::StrCat("Peak device memory: the ", most, " largest of ", start->memory.size(), " ranks");
  }
  for (auto& [bytes, bar] : bars) chart.bars.push_back(std::move(bar));
  return chart;
}

LinePlot MemoryOverSteps(const RunData& run) {
  LinePlot plot{"Memory held after each step, rank 0", "step", "", Quantity::kBytes, true, {}};
  for (const std::string& name : NestedColumns(run.metrics, "mem_bytes.")) {
    const std::string tag = name.substr(name.find('.') + 1);
    Series series = SeriesOf(run.metrics, name, tag, ColourOf(tag));
    if (std::any_of(series.y.begin(), series.y.end(), [](double v) { return v > 0; }))
      plot.series.push_back(std::move(series));
  }
  return plot;
}

BarChart BytesByAxis(const RunData& run) {
  BarChart chart{"Bytes sent in a step by rank 0 (median)", Quantity::kBytes, {}, {}};
  for (const std::string& name : NestedColumns(run.metrics, "comm_bytes."))
    chart.bars.push_back({name.substr(name.find('.') + 1), {run.metrics.Median(name).value_or(0)}});
  return chart;
}

BarChart TimeByAxis(const RunData& run) {
  BarChart chart{
      "Communication in a traced step, mean of the ranks", Quantity::kSeconds, {"exposed", "hidden"}, {}};
  std::map<std::string, std::pair<double, double>> axes;
  std::set<std::pair<int, int64_t>> parts;  // of ranks and steps
  for (const TracedTransfer& transfer : run.trace.transfers) {
    axes[transfer.axis].first += transfer.exposed;
    axes[transfer.axis].second += transfer.hidden;
    parts.emplace(transfer.rank, transfer.step);
  }
  const double count = std::max<double>(1, static_cast<double>(parts.size()));
  for (const auto& [axis, seconds] : axes)
    chart.bars.push_back({axis, {seconds.first / count, seconds.second / count}});
  return chart;
}

std::vector<Picture> Pictures(const std::vector<RunData>& runs) {
  std::vector<Picture> pictures;
  for (const Curve& curve : Curves()) {
    const LinePlot plot = CurveOf(runs, curve);
    if (!plot.series.empty()) pictures.push_back({curve.name, DrawFile(plot)});
  }
  const std::vector<std::string> prefixes = PrefixesOf(runs);
  for (size_t r = 0; r < runs.size(); ++r) {
    const RunData& run = runs[r];
    const std::string& prefix = prefixes[r];
    const std::pair<const char*, BarChart> charts[] = {{"memory-by-rank", MemoryByRank(run)},
                                                       {"bytes-by-axis", BytesByAxis(run)},
                                                       {"time-by-axis", TimeByAxis(run)}};
    for (const auto& [name, chart] : charts) {
      if (!chart.bars.empty()) pictures.push_back({prefix + name, DrawFile(chart)});
    }
    const std::optional<PipelineView> view = ViewPipeline(run);
    if (!view || view->stages < 2) continue;
    const std::pair<const char*, const std::optional<PipelineTimeline>*> lines[] = {
        {"measured", &view->measured}, {"predicted", &view->predicted}};
    for (const auto& [name, timeline] : lines) {
      if (timeline->has_value())
        pictures.push_back(
            {absl::StrCat(prefix, "pipeline-", name), DrawFile(TimelineChart(*view, **timeline, name))});
    }
  }
  return pictures;
}

}  // namespace orthant
