// The page's sections, one function each; page.cpp puts them in order.
#pragma once

#include <string>
#include <vector>

#include "orthant/report/bars.h"
#include "orthant/report/line_plot.h"
#include "orthant/report/run_data.h"
#include "orthant/report/scatter.h"

namespace orthant {

// Cells as text, escaped here. Columns named in `numbers` are aligned to the right.
struct HtmlTable {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  std::vector<size_t> numbers;
  std::vector<bool> set = {};  // rows that stand out; empty: none
  std::string id = "";
};
std::string ToHtml(const HtmlTable& table);
// The same, folded away under `summary`.
std::string Folded(const std::string& summary, const HtmlTable& table);

// A scrolling box that the keyboard reaches, around a table.
std::string Scrolling(const std::string& name, const std::string& table, const char* classes = "scroll card");

// A line in a run's colour and dash.
std::string Swatch(int colour);
std::string SquareSwatch(int colour);

// A plot with its cursor, its numbers behind it, and for several series a legend where `legend` asks for one.
std::string PlotFigure(const std::string& id, const LinePlot& plot, bool legend);
std::string BarFigure(const std::string& id, const BarChart& chart);
// `legend`: a name and its colour each.
std::string ScatterFigure(const std::string& id, const ScatterPlot& plot,
                          const std::vector<std::pair<std::string, int>>& legend);

// A whole page around `main`: head, policy, style, title, navigation (ids and names of sections), script.
std::string PageShell(const std::string& title, const std::string& made_by,
                      const std::vector<std::pair<std::string, std::string>>& sections,
                      const std::string& main);

std::string OverviewSection(const std::vector<RunData>& runs);
std::string CurvesSection(const std::vector<RunData>& runs);
std::string DifferencesSection(const std::vector<RunData>& runs);  // "" for one run

// Of one run; `id` begins the ids of its elements.
std::string MeshSection(const RunData& run, const std::string& id);
std::string PipelineSection(const RunData& run, const std::string& id);
std::string MemorySection(const RunData& run, const std::string& id);
std::string CommunicationSection(const RunData& run, const std::string& id);
std::string SamplesSection(const RunData& run, const std::string& id);
std::string HistorySection(const RunData& run, const std::string& id);
std::string ConfigurationSection(const RunData& run, const std::string& id);

}  // namespace orthant
