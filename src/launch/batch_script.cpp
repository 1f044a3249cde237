#include "orthant/launch/batch_script.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/launch/queue.h"

namespace orthant {
namespace {

// The name in a placeholder that begins at `at`, which holds '@'; "" when there is none.
std::string PlaceholderAt(absl::string_view line, size_t at) {
  size_t end = at + 1;
  while (end < line.size() && (absl::ascii_isupper(line[end]) || line[end] == '_')) ++end;
  if (end == at + 1 || end >= line.size() || line[end] != '@') return "";
  return std::string(line.substr(at + 1, end - at - 1));
}

struct FilledLine {
  std::string text;
  bool empty = false;  // one of its values is
};

absl::StatusOr<FilledLine> FillLine(absl::string_view line, const std::map<std::string, std::string>& values,
                                    const std::string& place) {
  FilledLine filled;
  for (size_t i = 0; i < line.size();) {
    const std::string name = line[i] == '@' ? PlaceholderAt(line, i) : "";
    if (name.empty()) {
      filled.text += line[i++];
      continue;
    }
    const auto value = values.find(name);
    if (value == values.end()) {
      std::vector<std::string> known;
      for (const auto& [other, ignored] : values) known.push_back(other);
      const std::optional<std::string> meant = ClosestMatch(name, known);
      return ConfigurationError(absl::StrCat(place, ": unknown placeholder @", name, "@; ",
                                             meant.has_value()
                                                 ? absl::StrCat("did you mean @", *meant, "@?")
                                                 : absl::StrCat("there are: ", JoinWords(known))));
    }
    filled.text += value->second;
    filled.empty = filled.empty || value->second.empty();
    i += name.size() + 2;
  }
  return filled;
}

bool IsDirective(absl::string_view line) {
  return absl::StartsWith(line, "#SBATCH") || absl::StartsWith(line, "#PBS");
}

}  // namespace

absl::StatusOr<std::string> FillTemplate(const std::string& text,
                                         const std::map<std::string, std::string>& values,
                                         const std::string& origin) {
  std::string script;
  int number = 0;
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (const std::string& line : lines) {
    const absl::StatusOr<FilledLine> filled = FillLine(line, values, absl::StrCat(origin, ":", ++number));
    if (!filled.ok()) return filled.status();
    // A line of nothing but an empty value leaves none behind either.
    if (filled->empty && (IsDirective(line) || filled->text.empty())) continue;
    absl::StrAppend(&script, filled->text, "\n");
  }
  return script;
}

std::string ShellWord(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || absl::StrContains("_-+=.,:/@%", std::string(1, static_cast<char>(c)));
  });
  return plain ? word : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

std::string ShellLine(const std::vector<std::string>& words) {
  return absl::StrJoin(words, " ",
                       [](std::string* out, const std::string& word) { *out += ShellWord(word); });
}

std::map<std::string, std::string> TemplateValues(const BatchJob& job, const ClusterConfig& cluster) {
  const bool slurm = job.scheduler == "slurm";
  std::vector<std::string> options = cluster.submit.options;
  options.insert(options.end(), job.options.begin(), job.options.end());
  for (std::string& option : options) option = absl::StrCat(slurm ? "#SBATCH " : "#PBS ", option);
  const std::string requeue =
      slurm ? (job.requeue ? "--requeue" : "--no-requeue") : (job.requeue ? "y" : "n");
  const auto number = [](int64_t value) { return value > 0 ? absl::StrCat(value) : ""; };
  return {{"NAME", job.name},
          {"NODES", absl::StrCat(job.nodes)},
          {"RANKS_PER_HOST", absl::StrCat(job.ranks_per_host)},
          {"RANKS", absl::StrCat(job.nodes * job.ranks_per_host)},
          {"SELECT", absl::StrCat(job.nodes, cluster.submit.select.empty() ? "" : ":", cluster.submit.select,
                                  ":mpiprocs=", job.ranks_per_host)},
          {"TIME", FormatWallTime(job.seconds)},
          {"WARN", absl::StrCat(job.warn_seconds)},
          {"WARN_AFTER", absl::StrCat(job.seconds - job.warn_seconds)},
          {"QUEUE", job.queue.empty() ? cluster.submit.queue : job.queue},
          {"ACCOUNT", job.account.empty() ? cluster.submit.account : job.account},
          {"GPUS", number(cluster.node.gpus)},
          {"CORES", number(cluster.node.cores)},
          {"REQUEUE", requeue},
          {"RESUBMIT", job.resubmit ? "1" : "0"},
          {"OPTIONS", absl::StrJoin(options, "\n")},
          {"SETUP", absl::StrJoin(cluster.submit.setup, "\n")},
          {"FOLDER", ShellWord(job.folder)},
          {"SCRIPT", ShellWord(job.script)},
          {"OUTPUT", job.output},
          {"COMMAND", ShellLine(job.command)}};
}

absl::Status CheckJob(const BatchJob& job, const ClusterConfig& cluster) {
  if (job.seconds <= job.warn_seconds) {
    return ConfigurationError(
        absl::StrCat("--time ", FormatWallTime(job.seconds), " must be more than --warn ", job.warn_seconds,
                     ", the seconds before the limit at which the run is told to save"));
  }
  const std::string queue = job.queue.empty() ? cluster.submit.queue : job.queue;
  return CheckQueue(cluster.submit.queues, queue, job.nodes, job.seconds);
}

std::string JobNumber(const std::string& scheduler, const std::string& printed) {
  const std::string mark = "Submitted batch job ";
  for (const absl::string_view line : absl::StrSplit(printed, '\n')) {
    if (scheduler == "slurm") {
      const size_t at = line.find(mark);
      if (at == absl::string_view::npos) continue;
      const absl::string_view rest = line.substr(at + mark.size());
      return std::string(rest.substr(0, rest.find(' ')));
    }
    if (!line.empty() && absl::ascii_isdigit(line[0])) return std::string(absl::StripAsciiWhitespace(line));
  }
  return "";
}

}  // namespace orthant
