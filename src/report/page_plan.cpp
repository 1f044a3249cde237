#include "absl/strings/str_cat.h"
#include "orthant/report/markup.h"
#include "orthant/report/plan_page.h"
#include "report/page_parts.h"

namespace orthant {
namespace {

std::string Facts(const PlanPageData& data) {
  std::string html = "<section id=\"overview\"><h2>The choice</h2>\n<div class=\"card\"><dl class=\"facts\">";
  for (const auto& [name, value] : data.facts)
    absl::StrAppend(&html, "<div><dt>", Escape(name), "</dt><dd>", Escape(value), "</dd></div>");
  return html + "</dl></div></section>\n";
}

std::string Plots(const PlanPageData& data) {
  return absl::StrCat("<section id=\"plots\"><h2>Memory and time</h2>\n<div class=\"grid-of-plots\">\n",
                      BarFigure("plan-memory", data.memory), BarFigure("plan-time", data.time),
                      ScatterFigure("plan-front", data.trade_off, data.trade_off_legend),
                      data.measured.points.empty() ? "" : ScatterFigure("plan-measured", data.measured, {}),
                      "</div></section>\n");
}

std::string Layouts(const PlanPageData& data) {
  HtmlTable table;
  table.id = "layouts-table";
  table.head = data.head;
  for (size_t c = 2; c < data.head.size(); ++c) table.numbers.push_back(c);
  table.rows = data.rows;
  return absl::StrCat(
      "<section id=\"layouts\"><h2>Layouts</h2>\n<div class=\"scroll\" tabindex=\"0\" "
      "role=\"group\" aria-label=\"Layouts\">",
      ToHtml(table), "</div></section>\n");
}

std::string Reasons(const PlanPageData& data) {
  std::string html = "<section id=\"reasons\"><h2>Not chosen</h2>\n<ul>";
  for (const std::string& line : data.rejections) absl::StrAppend(&html, "<li>", Escape(line), "</li>");
  html += "</ul>\n";
  if (!data.rules.empty()) {
    HtmlTable table;
    table.head = {"", "rule of thumb", "because"};
    table.rows = data.rules;
    absl::StrAppend(&html,
                    "<h3>Rules of thumb</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" "
                    "aria-label=\"Rules of thumb\">",
                    ToHtml(table), "</div>\n");
  }
  return html + "</section>\n";
}

}  // namespace

std::string PlanPage(const PlanPageData& data) {
  return PageShell(data.title, "orthant plan",
                   {{"overview", "The choice"},
                    {"plots", "Memory and time"},
                    {"layouts", "Layouts"},
                    {"reasons", "Not chosen"}},
                   absl::StrCat(Facts(data), Plots(data), Layouts(data), Reasons(data)));
}

std::vector<Picture> Pictures(const PlanPageData& data) {
  std::vector<Picture> pictures = {{"plan-memory", DrawFile(data.memory)},
                                   {"plan-time", DrawFile(data.time)},
                                   {"plan-front", DrawFile(data.trade_off)}};
  if (!data.measured.points.empty()) pictures.push_back({"plan-measured", DrawFile(data.measured)});
  return pictures;
}

}  // namespace orthant
