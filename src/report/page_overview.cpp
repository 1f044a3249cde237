#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/text.h"
#include "orthant/report/charts.h"
#include "orthant/report/markup.h"
#include "report/page_parts.h"

namespace orthant {
namespace {

// A fact with its value as people read it, and in full where a program looks.
std::string Fact(const std::string& name, const std::string& shown, const std::string& whole = "",
                 const std::string& key = "") {
  return absl::StrCat(
      "<div><dt>", Escape(name), "</dt><dd",
      key.empty() ? "" : absl::StrCat(" data-key=\"", key, "\" data-value=\"", Escape(whole), "\""),
      whole.empty() ? "" : absl::StrCat(" title=\"", Escape(whole), "\""), ">", Escape(shown), "</dd></div>");
}

std::string NumberFact(const std::string& name, const std::optional<double>& value, Quantity quantity,
                       const std::string& key) {
  return value ? Fact(name, Show(*value, quantity), FormatShortest(*value), key) : "";
}

// Losses differ in digits that others do not need.
std::string LossFact(const std::string& name, const std::optional<double>& value, const std::string& key) {
  return value ? Fact(name, absl::StrFormat("%.5g", *value), FormatShortest(*value), key) : "";
}

std::optional<double> Least(const std::vector<double>& values) {
  std::optional<double> least;
  for (const double v : values) {
    if (std::isfinite(v) && (!least || v < *least)) least = v;
  }
  return least;
}

std::string Outcome(const RunData& run) {
  const RunStart* start = run.LastStart();
  if (start == nullptr) return "not on record";
  if (!start->ended) return "under way, or cut off";
  return start->outcome;
}

std::string Card(const RunData& run, size_t index, bool several) {
  const MetricsTable& m = run.metrics;
  const RunStart* start = run.LastStart();
  const std::optional<Mesh> mesh = run.TheMesh();
  std::string html = absl::StrCat("<div class=\"card overview\" data-run=\"", index, "\"><h3>",
                                  several ? Swatch(static_cast<int>(index)) : "", Escape(run.label),
                                  "</h3><p class=\"soft\">", Escape(run.folder), "</p><dl class=\"facts\">");
  if (m.size() > 0) {
    absl::StrAppend(
        &html, NumberFact("steps", m.steps.back(), Quantity::kNumber, "step"),
        LossFact("last loss", m.Last("loss"), "loss"),
        LossFact("validation loss", m.Last("val_loss"), "val_loss"),
        LossFact("best validation", Least(m.Column("val_loss")), "best_val_loss"),
        NumberFact("step, median", m.Median("dt"), Quantity::kSeconds, "dt"),
        NumberFact("tokens/s, median", m.Median("tps"), Quantity::kCount, "tps"),
        NumberFact("MFU, median", m.Median("mfu"), Quantity::kShare, "mfu"),
        NumberFact("tokens", m.Last("tokens"), Quantity::kCount, "tokens"),
        NumberFact("peak memory, rank 0", m.Last("mem_peak_bytes"), Quantity::kBytes, "mem_peak_bytes"));
  }
  if (start != nullptr && start->parameters > 0) {
    const auto count = static_cast<double>(start->parameters);
    absl::StrAppend(&html, Fact("parameters", Show(count, Quantity::kCount), FormatCount(start->parameters),
                                "parameters"));
  }
  if (mesh)
    absl::StrAppend(&html, Fact("ranks", FormatCount(mesh->world())),
                    Fact("mesh", ToString(mesh->degrees())));
  if (start != nullptr)
    absl::StrAppend(&html, Fact("backend", start->backend), Fact("device", start->device));
  if (const std::string dtype = run.Value("train.dtype"); !dtype.empty())
    absl::StrAppend(&html, Fact("type", dtype));
  absl::StrAppend(&html, Fact("state", Outcome(run)), "</dl>");
  if (!run.notes.empty()) {
    html += "<ul class=\"notes\">";
    for (const std::string& note : run.notes) absl::StrAppend(&html, "<li>", Escape(note), "</li>");
    html += "</ul>";
  }
  return html + "</div>\n";
}

// Runs of different models or data, whose losses do not compare.
std::string ModelNote(const std::vector<ConfigDifferenceRow>& rows) {
  std::vector<std::string> keys;
  for (const ConfigDifferenceRow& row : rows) {
    if (absl::StartsWith(row.key, "model.") || row.key == "data.path" ||
        absl::StartsWith(row.key, "data.tokenizer"))
      keys.push_back(row.key);
  }
  if (keys.empty()) return "";
  return absl::StrCat("<p class=\"notes\">These runs train different models or read different data (",
                      Escape(JoinWords(keys)),
                      "): their losses compare only where vocabulary and text are the same.</p>\n");
}

// What the toggles say, for paper and where no script runs.
std::string Legend(const std::vector<RunData>& runs) {
  if (runs.size() < 2) return "";
  std::string html = "<ul class=\"legend instead-of-toggles\">";
  for (size_t i = 0; i < runs.size(); ++i)
    absl::StrAppend(&html, "<li>", Swatch(static_cast<int>(i)), Escape(runs[i].label), "</li>");
  return html + "</ul>\n";
}

}  // namespace

std::string OverviewSection(const std::vector<RunData>& runs) {
  std::string html = "<section id=\"overview\"><h2>Overview</h2>\n<div class=\"cards\">\n";
  for (size_t i = 0; i < runs.size(); ++i) html += Card(runs[i], i, runs.size() > 1);
  return html + "</div></section>\n";
}

std::string CurvesSection(const std::vector<RunData>& runs) {
  std::string html =
      "<section id=\"curves\"><h2>Curves</h2>\n" + Legend(runs) + "<div class=\"bar-of-buttons\">\n";
  if (runs.size() > 1) {
    for (size_t i = 0; i < runs.size(); ++i) {
      absl::StrAppend(&html, "<button type=\"button\" class=\"toggle needs-script\" data-run=\"", i,
                      "\" aria-pressed=\"true\">", Swatch(static_cast<int>(i)), Escape(runs[i].label),
                      "</button>\n");
    }
  }
  html +=
      "<button type=\"button\" id=\"log-scale\" class=\"needs-script\" aria-pressed=\"false\">Logarithmic "
      "scale</button>"
      "</div>\n<div class=\"curves grid-of-plots\">\n";
  bool any = false;
  for (const Curve& curve : Curves()) {
    const LinePlot plot = CurveOf(runs, curve);
    if (plot.series.empty()) continue;
    any = true;
    html += PlotFigure(absl::StrCat("curve-", curve.name), plot, /*legend=*/false);
  }
  html += "</div>\n";
  if (!any) html += "<p>There is no step to show yet.</p>\n";
  return html + "</section>\n";
}

std::string DifferencesSection(const std::vector<RunData>& runs) {
  if (runs.size() < 2) return "";
  const std::vector<ConfigDifferenceRow> rows = CompareConfigs(runs);
  HtmlTable table;
  table.id = "differences-table";
  table.head = {"key"};
  for (const RunData& run : runs) table.head.push_back(run.label);
  for (const ConfigDifferenceRow& row : rows) {
    std::vector<std::string> cells = {row.key};
    cells.insert(cells.end(), row.values.begin(), row.values.end());
    table.rows.push_back(std::move(cells));
  }
  return absl::StrCat(
      "<section id=\"differences\"><h2>What differs between the configurations</h2>\n", ModelNote(rows),
      rows.empty() ? "<p>Nothing but names and folders.</p>" : Scrolling("Differences", ToHtml(table)),
      "</section>\n");
}

}  // namespace orthant
