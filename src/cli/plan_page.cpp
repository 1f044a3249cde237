#include "cli/plan_page.h"

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/picture_files.h"
#include "orthant/core/file.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

constexpr size_t kBars = 12;   // layouts whose time is drawn
constexpr size_t kStages = 8;  // stages whose memory is drawn
// Points of the front that are drawn: what is further away would press the others together.
constexpr double kMostTime = 3, kMostMemory = 2;  // times the choice's

BarChart MemoryOf(const SearchRequest& request, const LayoutPrediction& best) {
  BarChart chart{"Memory of a rank, by pipeline stage",
                 Quantity::kBytes,
                 {"parameters", "gradients", "optimizer", "activations", "loss", "working"},
                 {}};
  chart.limit = request.machine.memory_bytes > 0 ? request.Capacity() : 0;
  const size_t stages = best.memory.size();
  if (stages > kStages) absl::StrAppend(&chart.title, ", the first ", kStages - 1, " and the last");
  for (size_t i = 0; i < stages; ++i) {
    // Of many the first ones and the last: the others lie between.
    if (stages > kStages && i + 1 < stages && i + 1 >= kStages) continue;
    const StageMemory& s = best.memory[i];
    chart.bars.push_back(
        {absl::StrCat("P", i), {s.parameters, s.gradients, s.optimizer, s.activations, s.loss, s.working}});
  }
  return chart;
}

BarChart TimeOf(const std::vector<LayoutPrediction>& best) {
  BarChart chart{"Step time of the best layouts",
                 Quantity::kSeconds,
                 {"compute", "tensor, exposed", "sequence, exposed", "pipeline, exposed", "data, exposed",
                  "bubble", "optimizer", "overhead"},
                 {}};
  for (size_t i = 0; i < std::min(best.size(), kBars); ++i) {
    const StepParts& s = best[i].time.parts;
    chart.bars.push_back(
        {absl::StrCat("#", i + 1),
         {s.compute, s.tensor, s.sequence, s.pipeline, s.data, s.bubble, s.optimizer, s.overhead}});
  }
  return chart;
}

ScatterPlot TradeOff(const PlanReport& report) {
  ScatterPlot plot;
  plot.title = "Memory and time";
  plot.x_label = "memory of the rank that holds most";
  plot.y_label = "step";
  plot.x_quantity = Quantity::kBytes;
  plot.y_quantity = Quantity::kSeconds;
  const LayoutPrediction& choice = report.result.best.front();
  for (const TradeOffPoint& point : report.result.front) {
    if (point.seconds > kMostTime * choice.time.step ||
        point.bytes > kMostMemory * choice.WorstStage().total())
      continue;
    plot.points.push_back({point.bytes, point.seconds, point.layout.ToString(), point.fits ? 0 : 6});
  }
  for (size_t i = 0; i < report.result.best.size(); ++i) {
    const LayoutPrediction& p = report.result.best[i];
    plot.points.push_back({p.WorstStage().total(), p.time.step,
                           absl::StrCat("#", i + 1, " ", p.layout.ToString()), i == 0 ? 1 : 2});
  }
  // A limit far from all points would press them together.
  double most = 0;
  for (const ScatterPoint& point : plot.points) most = std::max(most, point.x);
  const double limit = report.request.machine.memory_bytes > 0 ? report.request.Capacity() : 0;
  if (limit > 0 && limit < 2 * most) plot.x_limit = limit;
  return plot;
}

ScatterPlot PredictedAndMeasured(const std::vector<MeasuredLayout>& measured) {
  ScatterPlot plot;
  plot.title = "Step time, predicted and measured here";
  plot.x_label = "predicted";
  plot.y_label = "measured";
  plot.x_quantity = plot.y_quantity = Quantity::kSeconds;
  plot.front = false;
  plot.diagonal = true;
  for (const MeasuredLayout& one : measured) {
    const LayoutPrediction& p = one.prediction;
    if (one.seconds > 0) plot.points.push_back({p.time.step, one.seconds, p.layout.ToString(), 0});
  }
  return plot;
}

std::vector<std::vector<std::string>> RowsOf(const std::vector<LayoutPrediction>& best) {
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < best.size(); ++i) {
    const LayoutPrediction& p = best[i];
    rows.push_back({absl::StrCat("#", i + 1), p.layout.ToString(), FormatShortest(p.time.step),
                    FormatShortest(p.time.tokens_per_second), absl::StrFormat("%.2f%%", 100 * p.time.mfu),
                    FormatShortest(p.WorstStage().total()), FormatShortest(p.time.sent.network)});
  }
  return rows;
}

}  // namespace

PlanPageData PageOf(const PlanReport& report, const std::string& run) {
  const SearchRequest& request = report.request;
  const LayoutPrediction& best = report.result.best.front();
  PlanPageData data;
  data.title = absl::StrCat(std::filesystem::path(run).stem().string(), " on ", FormatCount(request.ranks),
                            " ranks of ", request.machine.name);
  data.facts = {
      {"layout", best.layout.ToString()},
      {"step", FormatDuration(best.time.step)},
      {"tokens/s", Show(best.time.tokens_per_second, Quantity::kCount)},
      {"MFU", Show(best.time.mfu, Quantity::kShare)},
      {"memory", Show(best.WorstStage().total(), Quantity::kBytes)},
      {"limit", request.machine.memory_bytes > 0 ? Show(request.Capacity(), Quantity::kBytes) : "none"},
      {"parameters", FormatCount(request.workload.model.Parameters())},
      {"global batch", FormatCount(request.workload.global_batch)},
      {"type", request.workload.dtype},
      {"device", request.machine.device},
      {"calibration", request.machine.calibration.name},
      {"layouts tried", FormatCount(report.result.layouts)},
      {"of them fit", FormatCount(report.result.fitting)}};
  data.memory = MemoryOf(request, best);
  data.time = TimeOf(report.result.best);
  data.trade_off = TradeOff(report);
  data.trade_off_legend = {
      {"the choice", 1}, {"the other best", 2}, {"on the front, fits", 0}, {"on the front, does not fit", 6}};
  data.measured = PredictedAndMeasured(report.measured);
  data.head = {"", "layout", "step s", "tokens/s", "MFU", "bytes of a rank", "bytes sent between nodes"};
  data.rows = RowsOf(report.result.best);
  data.rejections = report.rejections;
  for (const RuleVerdict& rule : report.rules)
    data.rules.push_back({rule.agrees ? "agrees" : "disagrees", rule.rule, rule.because});
  return data;
}

absl::Status WritePlanPictures(const PlanReport& report, const PlanLayoutOptions& options) {
  if (options.html.empty() && options.svg.empty()) return absl::OkStatus();
  const PlanPageData data = PageOf(report, options.run.path);
  if (!options.html.empty()) {
    if (absl::Status written = WriteFileAtomically(options.html, PlanPage(data)); !written.ok())
      return written;
    std::cerr << "wrote " << options.html << "\n";
  }
  // stdout holds the plan.
  return options.svg.empty() ? absl::OkStatus() : WriteSvgs(Pictures(data), options.svg, std::cerr);
}

}  // namespace orthant
