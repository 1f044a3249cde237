#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/text.h"
#include "orthant/report/markup.h"
#include "orthant/report/svg.h"
#include "report/page_parts.h"

namespace orthant {
namespace {

constexpr size_t kTableRows = 100;       // of a plot's numbers
constexpr size_t kPointerPoints = 1500;  // of a curve, that the cursor finds

const char* ScriptName(Quantity quantity) {
  return quantity == Quantity::kBytes     ? "bytes"
         : quantity == Quantity::kShare   ? "share"
         : quantity == Quantity::kSeconds ? "seconds"
                                          : "number";
}

// Every n-th index of `count`, the first and the last.
std::vector<size_t> Some(size_t count, size_t most) {
  std::vector<size_t> indices;
  const size_t stride = std::max<size_t>(1, (count + most - 1) / most);
  for (size_t i = 0; i < count; i += stride) indices.push_back(i);
  if (count > 0 && indices.back() != count - 1) indices.push_back(count - 1);
  return indices;
}

// Where any series has a value, ascending.
std::vector<double> AllX(const LinePlot& plot) {
  std::set<double> all;
  for (const Series& s : plot.series) all.insert(s.x.begin(), s.x.end());
  return {all.begin(), all.end()};
}

// The place of `x` in a series; none where it has no value there.
std::optional<size_t> PlaceOf(const Series& series, double x) {
  const auto found = std::lower_bound(series.x.begin(), series.x.end(), x);
  if (found == series.x.end() || *found != x) return std::nullopt;
  return static_cast<size_t>(found - series.x.begin());
}

nlohmann::ordered_json PointerData(const LinePlot& plot) {
  const PlotArea area = AreaOf(plot, /*file=*/false);
  // The same places of every series: runs of unequal length are read side by side.
  const std::vector<double> all = AllX(plot);
  const std::vector<size_t> some = Some(all.size(), kPointerPoints);
  nlohmann::ordered_json series = nlohmann::ordered_json::array();
  for (const Series& s : plot.series) {
    nlohmann::ordered_json x = nlohmann::ordered_json::array(), y = x;
    for (const size_t i : some) {
      const std::optional<size_t> at = PlaceOf(s, all[i]);
      if (!at) continue;
      x.push_back(all[i]);
      y.push_back(s.y[*at]);  // null when not finite
    }
    series.push_back({{"name", s.name}, {"colour", s.colour}, {"x", x}, {"y", y}});
  }
  return {{"area", {area.left, area.right}},
          {"span", {area.x_low, area.x_high}},
          {"x", plot.x_label},
          {"quantity", ScriptName(plot.quantity)},
          {"series", series}};
}

HtmlTable NumbersOf(const LinePlot& plot) {
  const std::vector<double> all = AllX(plot);
  const std::vector<size_t> some = Some(all.size(), kTableRows);
  HtmlTable table;
  table.head = {plot.x_label};
  table.numbers = {0};
  for (const Series& s : plot.series) {
    table.numbers.push_back(table.head.size());
    table.head.push_back(plot.series.size() > 1 ? s.name : plot.title);
  }
  for (const size_t i : some) {
    std::vector<std::string> row = {FormatShortest(all[i])};
    for (const Series& s : plot.series) {
      const std::optional<size_t> at = PlaceOf(s, all[i]);
      row.push_back(!at ? "" : std::isfinite(s.y[*at]) ? FormatShortest(s.y[*at]) : "no finite number");
    }
    table.rows.push_back(std::move(row));
  }
  table.caption =
      some.size() == all.size()
          ? "in full precision"
          : absl::StrCat(some.size(), " of ", all.size(), " steps, in full precision; metrics.jsonl has all");
  return table;
}

bool HasLog(const std::string& svg) {
  return svg.find("<g class=\"log\">") != std::string::npos;
}

}  // namespace

std::string ToHtml(const HtmlTable& table) {
  const auto classed = [&](size_t column) {
    const bool number = std::find(table.numbers.begin(), table.numbers.end(), column) != table.numbers.end();
    return number ? " class=\"number\"" : " class=\"value\"";
  };
  std::string html =
      absl::StrCat("<table", table.id.empty() ? "" : absl::StrCat(" id=\"", table.id, "\""), ">");
  if (!table.caption.empty()) absl::StrAppend(&html, "<caption>", Escape(table.caption), "</caption>");
  html += "<thead><tr>";
  for (size_t c = 0; c < table.head.size(); ++c)
    absl::StrAppend(&html, "<th scope=\"col\"", classed(c), ">", Escape(table.head[c]), "</th>");
  html += "</tr></thead><tbody>\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    html += r < table.set.size() && table.set[r] ? "<tr class=\"set\">" : "<tr>";
    for (size_t c = 0; c < table.rows[r].size(); ++c)
      absl::StrAppend(&html, "<td", classed(c), ">", Escape(table.rows[r][c]), "</td>");
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n";
}

std::string Folded(const std::string& summary, const HtmlTable& table) {
  return absl::StrCat("<details><summary>", Escape(summary), "</summary>",
                      Scrolling(summary, ToHtml(table), "numbers"), "</details>\n");
}

std::string Scrolling(const std::string& name, const std::string& table, const char* classes) {
  return absl::StrCat("<div class=\"", classes, "\" tabindex=\"0\" role=\"group\" aria-label=\"",
                      Escape(name), "\">", table, "</div>\n");
}

std::string Swatch(int colour) {
  return absl::StrCat("<svg class=\"plot swatch\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"",
                      LineClass(colour), "\" d=\"M0 5h26\"/></svg>");
}

std::string SquareSwatch(int colour) {
  return absl::StrCat("<svg class=\"plot swatch\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><rect class=\"",
                      DotClass(colour), "\" x=\"1\" width=\"12\" height=\"10\"/></svg>");
}

std::string PlotFigure(const std::string& id, const LinePlot& plot, bool legend) {
  const std::string svg = DrawInline(plot);
  std::string html = absl::StrCat("<figure class=\"chart", HasLog(svg) ? " has-log" : "", "\" id=\"",
                                  Escape(id), "\"><figcaption><h3>", Escape(plot.title), "</h3>");
  if (!plot.y_label.empty()) absl::StrAppend(&html, "<span>", Escape(plot.y_label), "</span>");
  html += "</figcaption>\n";
  if (legend) {
    html += "<ul class=\"legend\">";
    for (const Series& s : plot.series)
      absl::StrAppend(&html, "<li>", Swatch(s.colour), Escape(s.name), "</li>");
    html += "</ul>\n";
  }
  absl::StrAppend(&html, "<div class=\"canvas\" tabindex=\"0\" role=\"group\" aria-label=\"",
                  Escape(plot.title), ": arrow keys read the values\">\n", svg, "</div>\n",
                  "<output class=\"readout needs-script\" aria-live=\"polite\"></output>\n",
                  "<script type=\"application/json\">", ScriptJson(PointerData(plot)), "</script>\n",
                  Folded("Numbers", NumbersOf(plot)), "</figure>\n");
  return html;
}

std::string BarFigure(const std::string& id, const BarChart& chart) {
  std::string html = absl::StrCat("<figure id=\"", Escape(id), "\"><figcaption><h3>", Escape(chart.title),
                                  "</h3></figcaption>\n");
  if (chart.parts.size() > 1) {
    html += "<ul class=\"legend\">";
    for (size_t p = 0; p < chart.parts.size(); ++p)
      absl::StrAppend(&html, "<li>", SquareSwatch(static_cast<int>(p)), Escape(chart.parts[p]), "</li>");
    html += "</ul>\n";
  }
  HtmlTable table;
  table.head = {""};
  for (size_t p = 0; p < std::max<size_t>(1, chart.parts.size()); ++p) {
    table.numbers.push_back(table.head.size());
    table.head.push_back(p < chart.parts.size() ? chart.parts[p] : chart.title);
  }
  for (const Bar& bar : chart.bars) {
    std::vector<std::string> row = {bar.name};
    for (const double part : bar.parts) row.push_back(FormatShortest(part));
    table.rows.push_back(std::move(row));
  }
  table.caption = chart.quantity == Quantity::kBytes     ? "bytes"
                  : chart.quantity == Quantity::kSeconds ? "seconds"
                                                         : "";
  return absl::StrCat(html, DrawInline(chart), Folded("Numbers", table), "</figure>\n");
}

std::string ScatterFigure(const std::string& id, const ScatterPlot& plot,
                          const std::vector<std::pair<std::string, int>>& legend) {
  std::string html = absl::StrCat("<figure id=\"", Escape(id), "\"><figcaption><h3>", Escape(plot.title),
                                  "</h3></figcaption>\n<ul class=\"legend\">");
  for (const auto& [name, colour] : legend)
    absl::StrAppend(&html, "<li>", SquareSwatch(colour), Escape(name), "</li>");
  HtmlTable table;
  table.head = {"", plot.x_label, plot.y_label};
  table.numbers = {1, 2};
  for (const ScatterPoint& point : plot.points)
    table.rows.push_back({point.name, FormatShortest(point.x), FormatShortest(point.y)});
  table.caption = "in full precision; seconds and bytes";
  return absl::StrCat(html, "</ul>\n", DrawInline(plot), Folded("Numbers", table), "</figure>\n");
}

}  // namespace orthant
