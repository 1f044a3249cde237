#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/text.h"
#include "orthant/mesh/placement.h"
#include "orthant/report/charts.h"
#include "orthant/report/markup.h"
#include "orthant/report/pipeline_view.h"
#include "report/page_parts.h"

namespace orthant {
namespace {

constexpr int64_t kMostRanks = 512;  // that the map shows

// Each rank's host.
std::vector<std::string> HostsOf(const RunData& run, int64_t world) {
  const RunStart* start = run.LastStart();
  const auto count = static_cast<size_t>(world);
  if (start != nullptr && start->hosts.size() == count) return start->hosts;
  return std::vector<std::string>(count, start != nullptr && !start->host.empty() ? start->host : "one host");
}

std::string Cell(const Mesh& mesh, int64_t rank) {
  const Coordinate c = mesh.CoordinateOf(rank);
  return absl::StrFormat(
      "<button type=\"button\" class=\"rank\" data-rank=\"%d\" data-at=\"%d %d %d %d\" "
      "aria-label=\"rank %d: data %d, tensor %d, pipeline %d, sequence %d\"><b>%d</b><small>D%d T%d P%d "
      "S%d</small>"
      "</button>\n",
      rank, c.data, c.tensor, c.pipeline, c.sequence, rank, c.data, c.tensor, c.pipeline, c.sequence, rank,
      c.data, c.tensor, c.pipeline, c.sequence);
}

std::string Map(const Mesh& mesh, const std::vector<std::string>& hosts) {
  std::vector<std::string> names;
  for (const std::string& host : hosts) {
    if (std::find(names.begin(), names.end(), host) == names.end()) names.push_back(host);
    if (names.size() > static_cast<size_t>(kMostRanks)) break;
  }
  const int64_t shown = std::min(mesh.world(), kMostRanks);
  std::string html = "<div class=\"hosts\">\n";
  for (const std::string& name : names) {
    std::string cells;
    for (int64_t rank = 0; rank < shown; ++rank) {
      if (hosts[static_cast<size_t>(rank)] == name) cells += Cell(mesh, rank);
    }
    if (cells.empty()) continue;
    absl::StrAppend(&html, "<div class=\"host card\"><h4>", Escape(name), "</h4><div class=\"ranks\">\n",
                    cells, "</div></div>\n");
  }
  html += "</div>\n";
  if (shown < mesh.world()) {
    absl::StrAppend(&html, "<p>The first ", shown, " of ", FormatCount(mesh.world()),
                    " ranks; groups name these alone.</p>\n");
  }
  return html;
}

HtmlTable GroupsTable(const Mesh& mesh, const std::vector<std::string>& hosts) {
  HtmlTable table;
  table.head = {"axis", "ranks a group", "groups", "groups across hosts", "the group of rank 0"};
  table.numbers = {1, 2, 3};
  const std::array<Crossing, kAxisCount> crossings = FindCrossings(mesh, NumberHosts(hosts));
  for (const Axis axis : kAxes) {
    const Group group = mesh.GroupOf(0, {axis});
    std::vector<std::string> members;
    for (int64_t i = 0; i < std::min<int64_t>(group.size(), 16); ++i)
      members.push_back(absl::StrCat(group.rank(i)));
    if (group.size() > 16) members.push_back("...");
    table.rows.push_back({std::string(AxisName(axis)), absl::StrCat(group.size()),
                          FormatCount(mesh.world() / group.size()),
                          FormatCount(crossings[static_cast<size_t>(axis)].crossing), JoinWords(members)});
  }
  return table;
}

HtmlTable StagesTable(const PipelineView& view) {
  HtmlTable table;
  table.head = {"stage", "rank", "forward, mean", "backward, mean"};
  table.numbers = {0, 1, 2, 3};
  if (view.measured) table.head.push_back("computing, measured");
  if (view.predicted) table.head.push_back("computing, predicted");
  for (size_t s = 0; s < view.ranks.size(); ++s) {
    std::vector<std::string> row = {absl::StrCat(s), absl::StrCat(view.ranks[s])};
    for (const auto* means : {&view.forward, &view.backward})
      row.push_back(s < means->size() ? Show((*means)[s], Quantity::kSeconds) : "-");
    for (const auto* timeline : {&view.measured, &view.predicted}) {
      if (timeline->has_value()) row.push_back(Show((*timeline)->busy[s], Quantity::kShare));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string TimelineFigure(const PipelineView& view, const PipelineTimeline& timeline,
                           const std::string& what, const std::string& id) {
  const SpanChart chart = TimelineChart(view, timeline, what);
  double busy = 0;
  for (const double share : timeline.busy) busy += share / static_cast<double>(timeline.busy.size());
  return absl::StrCat(
      "<figure class=\"wide\" id=\"", Escape(id), "-", what, "\"><figcaption><h3>", Escape(chart.title),
      "</h3><span>", Show(timeline.makespan, Quantity::kSeconds), " from first to last, ",
      Show(1 - busy, Quantity::kShare),
      " idle (bubble)</span></figcaption><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"",
      Escape(chart.title), "\">", DrawInline(chart), "</div></figure>\n");
}

}  // namespace

std::string MeshSection(const RunData& run, const std::string& id) {
  const std::optional<Mesh> mesh = run.TheMesh();
  std::string html = absl::StrCat("<section id=\"", id, "-mesh\" class=\"mesh\"><h3>Mesh</h3>\n");
  if (!mesh)
    return html + "<p>The mesh is not known: config.yaml and starts.json do not say it.</p></section>\n";
  const std::vector<std::string> hosts = HostsOf(run, mesh->world());
  absl::StrAppend(&html, "<p>", Escape(ToString(mesh->degrees())), ": ", FormatCount(mesh->world()), " rank",
                  mesh->world() == 1 ? "" : "s",
                  ". D, T, P, S: place along data, tensor, pipeline, sequence.</p>\n");
  absl::StrAppend(&html,
                  "<p class=\"rank-info needs-script\" aria-live=\"polite\">Point at a rank, or go there "
                  "with Tab and the arrow "
                  "keys, to see its groups.</p>\n",
                  Map(*mesh, hosts), Folded("Groups", GroupsTable(*mesh, hosts)), "</section>\n");
  return html;
}

std::string PipelineSection(const RunData& run, const std::string& id) {
  const std::optional<PipelineView> view = ViewPipeline(run);
  if (!view) return "";
  const std::string at = id + "-pipeline";
  std::string html = absl::StrCat("<section id=\"", at, "\"><h3>Pipeline of a step</h3>\n");
  if (view->stages == 1 && !view->measured)
    return absl::StrCat(html, "<p>One stage: there is no pipeline.</p></section>\n");
  absl::StrAppend(&html, "<p>", Escape(view->schedule), ", ", view->stages, " stage",
                  view->stages == 1 ? "" : "s", ", ", view->microbatches, " microbatch",
                  view->microbatches == 1 ? "" : "es", ". F forward, B backward, with the microbatch.");
  if (!view->source.empty()) absl::StrAppend(&html, " The prediction takes ", Escape(view->source), ".");
  html += "</p>\n";
  for (const std::string& note : view->notes)
    absl::StrAppend(&html, "<p class=\"soft\">", Escape(note), "</p>\n");
  if (view->measured && run.trace.round_trip > 0) {
    absl::StrAppend(&html, "<p class=\"soft\">The ranks' clocks are known to ",
                    Show(run.trace.round_trip / 2, Quantity::kSeconds), ".</p>\n");
  }
  if (view->measured) html += TimelineFigure(*view, *view->measured, "measured", at);
  if (view->predicted) html += TimelineFigure(*view, *view->predicted, "predicted", at);
  if (!view->forward.empty()) html += Folded("Numbers by stage", StagesTable(*view));
  return html + "</section>\n";
}

std::string MemorySection(const RunData& run, const std::string& id) {
  const BarChart by_rank = MemoryByRank(run);
  const LinePlot over_steps = MemoryOverSteps(run);
  std::string html =
      absl::StrCat("<section id=\"", id, "-memory\"><h3>Memory</h3>\n<div class=\"grid-of-plots\">\n");
  if (!by_rank.bars.empty()) html += BarFigure(id + "-memory-by-rank", by_rank);
  if (!over_steps.series.empty()) html += PlotFigure(id + "-memory-over-steps", over_steps, /*legend=*/true);
  html += "</div>\n";
  if (by_rank.bars.empty())
    html += "<p class=\"soft\">The ranks' peaks are written when a start ends (starts.json).</p>\n";
  return html + "</section>\n";
}

std::string CommunicationSection(const RunData& run, const std::string& id) {
  const BarChart bytes = BytesByAxis(run), time = TimeByAxis(run);
  std::string html =
      absl::StrCat("<section id=\"", id,
                   "-communication\"><h3>Communication by axis</h3>\n<div class=\"grid-of-plots\">\n");
  if (!bytes.bars.empty()) html += BarFigure(id + "-bytes-by-axis", bytes);
  if (!time.bars.empty()) html += BarFigure(id + "-time-by-axis", time);
  html += "</div>\n";
  if (bytes.bars.empty()) html += "<p class=\"soft\">metrics.jsonl has no comm_bytes.</p>\n";
  if (time.bars.empty()) html += "<p class=\"soft\">Times need a traced step (log.trace.steps).</p>\n";
  if (run.trace.lost > 0)
    absl::StrAppend(&html, "<p class=\"soft\">", run.trace.lost,
                    " operations of the traced steps were not kept.</p>\n");
  return html + "</section>\n";
}

}  // namespace orthant
