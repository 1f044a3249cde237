#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/text.h"
#include "orthant/report/markup.h"
#include "orthant/report/svg.h"
#include "orthant/report/sweep_charts.h"
#include "orthant/report/sweep_page.h"
#include "report/page_parts.h"

namespace orthant {
namespace {

std::string Missing(const std::string& id, const std::string& title, const std::string& wanted) {
  return absl::StrCat("<figure class=\"empty\" id=\"", Escape(id), "\"><figcaption><h3>", Escape(title),
                      "</h3></figcaption><p class=\"soft\">Nothing to draw: ", Escape(wanted),
                      "</p></figure>\n");
}

std::string Lines(const std::string& id, const LinePlot& plot, const std::string& wanted) {
  return plot.series.empty() ? Missing(id, plot.title, wanted) : PlotFigure(id, plot, plot.series.size() > 1);
}

std::string Points(const std::string& id, const ScatterPlot& plot, const SweepData& sweep,
                   const std::string& wanted) {
  if (plot.points.empty()) return Missing(id, plot.title, wanted);
  std::vector<std::pair<std::string, int>> legend;
  for (const std::string& layout : sweep.Layouts()) {
    if (legend.size() < kLooks) legend.emplace_back(layout, static_cast<int>(legend.size()));
  }
  return ScatterFigure(id, plot, legend);
}

// "8 cases: 5 done, 1 illegal, 2 waiting"
std::string CountsOf(const SweepState& state) {
  std::string text = absl::StrCat(state.cases.size(), state.cases.size() == 1 ? " case" : " cases");
  const char* between = ": ";
  for (const CaseState which :
       {CaseState::kDone, CaseState::kIllegal, CaseState::kFailed, CaseState::kInterrupted,
        CaseState::kRunning, CaseState::kSubmitted, CaseState::kWaiting}) {
    if (state.Count(which) == 0) continue;
    absl::StrAppend(&text, between, state.Count(which), " ", ToString(which));
    between = ", ";
  }
  return text;
}

std::string Overview(const SweepData& sweep) {
  std::string html = absl::StrCat(
      "<section id=\"overview\"><h2>Overview</h2>\n<p>", Escape(sweep.state.scaling), " scaling of ",
      Escape(sweep.state.run), " on ", Escape(sweep.state.backend), ". ", CountsOf(sweep.state),
      ".</p>\n<p class=\"soft\">Medians leave out each run's "
      "first steps (a fifth, at most 10). The basis of a speed-up is the layout's own smallest number of "
      "ranks.</p>\n");
  if (!sweep.notes.empty()) {
    html += "<ul class=\"notes\">";
    for (const std::string& note : sweep.notes) absl::StrAppend(&html, "<li>", Escape(note), "</li>");
    html += "</ul>\n";
  }
  return html + "</section>\n";
}

std::string Plots(const SweepData& sweep) {
  const std::string done = "no case is done yet.";
  const std::string ranks = "set sweep.ranks: speed-up compares one layout on several numbers of ranks.";
  const std::string predicted = "no case has a prediction: set sweep.calibration.";
  BarChart mfu = MfuByLayout(sweep);
  return absl::StrCat(
      "<section id=\"plots\"><h2>Scaling</h2>\n<div class=\"grid-of-plots\">\n",
      Lines("step-time", StepTimeOverRanks(sweep), done),
      Lines("throughput", ThroughputOverRanks(sweep), done), Lines("speed-up", SpeedUp(sweep), ranks),
      Lines("efficiency", Efficiency(sweep), ranks),
      "</div></section>\n<section id=\"layouts\"><h2>Layouts</h2>\n<div class=\"grid-of-plots\">\n",
      mfu.bars.empty() ? Missing("mfu", mfu.title, done) : BarFigure("mfu", mfu),
      Lines("memory-by-zero", MemoryOverZero(sweep),
            "no two ZeRO stages were measured in cases that differ in nothing else."),
      "</div></section>\n<section id=\"predictions\"><h2>Predicted and measured</h2>\n"
      "<div class=\"grid-of-plots\">\n",
      Points("predicted-time", PredictedTime(sweep), sweep, predicted),
      Points("predicted-memory", PredictedMemory(sweep), sweep, predicted), "</div></section>\n");
}

std::string Cell(double value) {
  return std::isfinite(value) && value > 0 ? FormatShortest(value) : "";
}

std::string Cases(const SweepData& sweep) {
  HtmlTable table;
  table.id = "cases-table";
  table.head = {"case", "ranks",      "state",       "seconds",         "step s",    "tokens/s",
                "MFU",  "peak bytes", "predicted s", "predicted bytes", "last loss", "error"};
  table.numbers = {1, 3, 4, 5, 6, 7, 8, 9, 10};
  for (const SweepRow& row : sweep.rows) {
    const CaseRecord& r = row.record;
    const SweepFigures& f = row.figures;
    const auto figure = [&row](double value) { return row.measured ? Cell(value) : std::string(); };
    table.rows.push_back({r.what.name, f.ranks > 0 ? absl::StrCat(f.ranks) : "", ToString(r.state),
                          Cell(r.seconds), figure(f.step_seconds), figure(f.tokens_per_second), figure(f.mfu),
                          figure(f.memory_bytes), Cell(r.predicted_seconds), Cell(r.predicted_bytes),
                          figure(f.last_loss), r.error});
  }
  std::string html = absl::StrCat(
      "<section id=\"cases\"><h2>Cases</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" "
      "aria-label=\"Cases\">",
      ToHtml(table), "</div>\n");
  HtmlTable overrides;
  overrides.head = {"case", "overrides"};
  for (const SweepRow& row : sweep.rows)
    overrides.rows.push_back({row.record.what.name, absl::StrJoin(row.record.what.overrides, " ")});
  return absl::StrCat(html, Folded("What each case sets", overrides), "</section>\n");
}

}  // namespace

std::string SweepPage(const SweepData& sweep) {
  return PageShell(sweep.state.name, "orthant report",
                   {{"overview", "Overview"},
                    {"plots", "Scaling"},
                    {"layouts", "Layouts"},
                    {"predictions", "Predicted and measured"},
                    {"cases", "Cases"}},
                   absl::StrCat(Overview(sweep), Plots(sweep), Cases(sweep)));
}

}  // namespace orthant
