#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orthant/report/markup.h"
#include "orthant/report/scale.h"
#include "report/page_parts.h"

namespace orthant {
namespace {

constexpr size_t kMostSamples = 40;

std::string Sample(const RunSample& sample) {
  return absl::StrCat("<h4>step ", sample.step, ", prompt: ", Escape(sample.prompt), "</h4><pre>",
                      Escape(sample.response), "</pre>\n");
}

std::string OutcomeOf(const RunStart& start, bool last) {
  if (start.ended) return absl::StrCat(start.outcome, ", exit code ", start.exit_code);
  return last ? "under way, or cut off" : "cut off";
}

HtmlTable StartsTable(const RunData& run) {
  HtmlTable table;
  table.head = {"start", "version", "host",    "backend", "mesh", "after step",
                "from",  "ended",   "at step", "outcome", "why"};
  table.numbers = {5, 8};
  for (const RunStart& start : run.starts) {
    table.rows.push_back({start.time, start.version, start.host, start.backend,
                          start.mesh ? ToString(start.mesh->degrees()) : "-",
                          start.after_step < 0 ? "-" : absl::StrCat(start.after_step),
                          start.from.empty() ? "the beginning" : start.from,
                          start.ended ? start.end_time : "not on record",
                          start.ended ? absl::StrCat(start.end_step) : "-",
                          OutcomeOf(start, &start == run.LastStart()), start.message});
  }
  return table;
}

// What the last start said of itself before its first step.
std::string StartWords(const RunStart& start) {
  std::string html;
  if (!start.data.empty()) absl::StrAppend(&html, "<p>Data: ", Escape(start.data), ".</p>\n");
  if (start.peak_flops > 0) {
    absl::StrAppend(&html, "<p>MFU is the share of ", Show(start.peak_flops / 1e12, Quantity::kNumber),
                    " TFLOP/s a rank, ", Escape(start.peak_source), ".</p>\n");
  }
  if (start.notes.empty()) return html;
  html += "<ul>";
  for (const std::string& note : start.notes) absl::StrAppend(&html, "<li>", Escape(note), "</li>");
  return html + "</ul>\n";
}

HtmlTable SavedTable(const RunData& run) {
  HtmlTable table;
  table.head = {"checkpoint", "size", "state"};
  table.numbers = {0, 1};
  for (const SavedStep& step : run.saved) {
    table.rows.push_back({absl::StrCat("step ", step.step), Show(step.bytes, Quantity::kBytes),
                          absl::StrCat(step.whole ? "whole" : "not whole: its manifest is missing",
                                       step.latest ? ", latest" : "")});
  }
  return table;
}

}  // namespace

std::string SamplesSection(const RunData& run, const std::string& id) {
  if (run.samples.empty()) return "";
  std::string html =
      absl::StrCat("<section id=\"", id, "-samples\"><h3>Samples</h3>\n", Sample(run.samples.back()));
  if (run.samples.size() > 1) {
    const size_t shown = std::min(run.samples.size() - 1, kMostSamples);
    absl::StrAppend(&html, "<details><summary>", shown, " earlier</summary>\n");
    for (size_t i = run.samples.size() - 1; i-- > run.samples.size() - 1 - shown;)
      html += Sample(run.samples[i]);
    html += "</details>\n";
  }
  return html + "</section>\n";
}

std::string HistorySection(const RunData& run, const std::string& id) {
  std::string html =
      absl::StrCat("<section id=\"", id, "-history\"><h3>Starts, checkpoints and failures</h3>\n");
  if (!run.incidents.empty()) {
    html += "<ul class=\"notes incidents\">";
    for (const Incident& incident : run.incidents) {
      absl::StrAppend(&html, "<li><b>", Escape(incident.what),
                      incident.step >= 0 ? absl::StrCat(", step ", incident.step) : "", "</b><pre>",
                      Escape(incident.text), "</pre></li>");
    }
    html += "</ul>\n";
  } else {
    html += "<p>No failure is on record.</p>\n";
  }
  if (!run.starts.empty()) html += Scrolling("Starts", ToHtml(StartsTable(run)));
  if (run.LastStart() != nullptr) html += StartWords(*run.LastStart());
  if (!run.saved.empty()) {
    html += Scrolling("Checkpoints", ToHtml(SavedTable(run)));
  } else {
    html += "<p>There is no checkpoint.</p>\n";
  }
  return html + "</section>\n";
}

std::string ConfigurationSection(const RunData& run, const std::string& id) {
  if (run.config.empty()) return "";
  HtmlTable table;
  table.id = id + "-keys";
  table.head = {"key", "value", "from"};
  size_t set = 0;
  for (const ConfigValue& value : run.config) {
    table.rows.push_back({value.key, value.value, value.origin});
    table.set.push_back(value.origin != "default");
    set += table.set.back() ? 1 : 0;
  }
  return absl::StrCat("<section id=\"", id,
                      "-configuration\"><h3>Configuration</h3>\n<details class=\"card printed\"><summary>",
                      run.config.size(), " keys, ", set,
                      " of them set</summary><div class=\"needs-script\"><label>Find <input type=\"search\" "
                      "class=\"filter\" aria-controls=\"",
                      table.id,
                      "\"></label> <label><input type=\"checkbox\" class=\"only-set\"> only what was "
                      "set</label></div>\n",
                      Scrolling("Configuration", ToHtml(table), "scroll"), "</details></section>\n");
}

}  // namespace orthant
