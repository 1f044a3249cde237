#include "orthant/report/page.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "orthant/core/version.h"
#include "orthant/report/markup.h"
#include "report/page_files.h"
#include "report/page_parts.h"

namespace orthant {
namespace {

std::string TitleOf(const std::vector<RunData>& runs) {
  std::string title;
  for (const RunData& run : runs) absl::StrAppend(&title, title.empty() ? "" : ", ", run.label);
  return title;
}

using Sections = std::vector<std::pair<std::string, std::string>>;

Sections SectionsOf(const std::vector<RunData>& runs) {
  Sections sections = {{"overview", "Overview"}, {"curves", "Curves"}};
  if (runs.size() > 1) sections.emplace_back("differences", "Differences");
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string id = absl::StrCat("run", i);
    if (runs.size() > 1) {
      sections.emplace_back(id, runs[i].label);
      continue;
    }
    for (const char* name : {"Mesh", "Pipeline", "Memory", "Communication", "History", "Configuration"})
      sections.emplace_back(absl::StrCat(id, "-", Slug(name)), name);
  }
  return sections;
}

std::string RunSections(const RunData& run, size_t index) {
  const std::string id = absl::StrCat("run", index);
  return absl::StrCat("<section class=\"run-details\" id=\"", id, "\"><h2>", Escape(run.label), "</h2>\n",
                      MeshSection(run, id), PipelineSection(run, id), MemorySection(run, id),
                      CommunicationSection(run, id), SamplesSection(run, id), HistorySection(run, id),
                      ConfigurationSection(run, id), "</section>\n");
}

}  // namespace

std::string PageShell(const std::string& title, const std::string& made_by, const Sections& sections,
                      const std::string& main) {
  const std::string made = absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::Now(), absl::UTCTimeZone());
  std::string navigation = "<nav aria-label=\"Sections\">";
  for (const auto& [id, name] : sections)
    absl::StrAppend(&navigation, "<a href=\"#", Escape(id), "\">", Escape(name), "</a>");
  // The policy says what the page is: nothing is loaded from anywhere.
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'; img-src data:\">\n<meta name=\"generator\" content=\"orthant ",
      kOrthantVersion, "\">\n<title>", Escape(title), " - Orthant</title>\n<style>\n", PlotStyle(),
      PageStyle(),
      "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#overview\">To the content</a>\n<header><h1>",
      Escape(title), "</h1>\n<p class=\"soft\">made ", made, " by ", Escape(made_by), " ", kOrthantVersion,
      "</p>\n<button type=\"button\" id=\"theme\" class=\"needs-script\">Light or dark</button>\n",
      navigation, "</nav>\n</header>\n<main>\n", main,
      "</main>\n<footer><p>Nothing on this page is loaded from elsewhere.</p></footer>\n<script>\n",
      PageScript(), "</script>\n</body>\n</html>\n");
}

std::string ReportPage(const std::vector<RunData>& runs) {
  std::string main = absl::StrCat(OverviewSection(runs), CurvesSection(runs), DifferencesSection(runs));
  for (size_t i = 0; i < runs.size(); ++i) main += RunSections(runs[i], i);
  return PageShell(TitleOf(runs), "orthant report", SectionsOf(runs), main);
}

}  // namespace orthant
