#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/json_parts.h"
#include "orthant/core/status.h"
#include "orthant/report/run_data.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSampleHeading = "--- step ";
constexpr size_t kSampleHeadingLength = 9;
constexpr double kMostTraceBytes = 64e6;

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    names.push_back(at->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

double BytesIn(const std::string& folder) {
  double bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code none;
    if (at->is_regular_file(none)) bytes += static_cast<double>(at->file_size(none));
  }
  return bytes;
}

// The text of a file of the run; nothing, with a note where `absence` says what is then not known, when it
// cannot be read.
std::optional<std::string> TextOf(const std::string& path, const char* absence,
                                  std::vector<std::string>* notes) {
  if (!FileExists(path)) {
    if (absence != nullptr) notes->push_back(absl::StrCat(path, " is missing: ", absence));
    return std::nullopt;
  }
  absl::StatusOr<std::string> text = ReadFile(path);
  if (text.ok()) return *std::move(text);
  notes->push_back(std::string(text.status().message()));
  return std::nullopt;
}

std::vector<SavedStep> SavedSteps(const std::string& folder) {
  std::vector<SavedStep> saved;
  const absl::StatusOr<std::string> latest = ReadFile(folder + "/latest");
  for (const std::string& name : NamesIn(folder)) {
    SavedStep step;
    if (!absl::StartsWith(name, "step_") || !absl::SimpleAtoi(name.substr(5), &step.step)) continue;
    const std::string path = absl::StrCat(folder, "/", name);
    step.bytes = BytesIn(path);
    step.whole = FileExists(path + "/manifest.json");
    step.latest = latest.ok() && absl::StrContains(*latest, name);
    saved.push_back(step);
  }
  std::sort(saved.begin(), saved.end(),
            [](const SavedStep& a, const SavedStep& b) { return a.step < b.step; });
  return saved;
}

void AddVerdict(const std::string& path, RunData* run) {
  const std::optional<std::string> text = TextOf(path, nullptr, &run->notes);
  if (!text) return;
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("text") || !json["text"].is_string()) {
    run->notes.push_back(path + ": is damaged; `orthant flight` may know more");
    return;
  }
  run->incidents.push_back({"verdict", IntegerIn(json, "step", -1), TextIn(json, "text")});
}

void AddSkipped(const std::string& path, RunData* run) {
  const std::optional<std::string> text = TextOf(path, nullptr, &run->notes);
  if (!text) return;
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  for (const std::string& line : lines) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number()) continue;
    const int64_t batches = IntegerIn(json, "batches", -1);
    run->incidents.push_back(
        {TruthIn(json, "rolled_back") ? "rolled back" : "skipped batch", IntegerIn(json, "step"),
         absl::StrCat(TextIn(json, "reason"),
                      batches >= 0 ? absl::StrCat("; batches left out: ", batches) : "")});
  }
}

// Starts that ended badly, and those that another followed without an end of theirs.
void AddFailedStarts(RunData* run) {
  for (const RunStart& start : run->starts) {
    const std::string which = absl::StrCat("the start of ", start.time, " on ", start.host);
    if (start.ended && start.outcome == "failed") {
      run->incidents.push_back({"failed start", start.end_step,
                                absl::StrCat(which, ", exit code ", start.exit_code,
                                             start.message.empty() ? "" : ": ", start.message)});
    } else if (!start.ended && &start != run->LastStart()) {
      run->incidents.push_back({"cut off", -1, absl::StrCat(which, " has no end on record")});
    }
  }
}

void AddNotFinite(const char* column, const char* name, RunData* run) {
  const auto found = run->metrics.nulls.find(column);
  if (found == run->metrics.nulls.end()) return;
  const size_t count = found->second.size();
  run->incidents.push_back({absl::StrCat(name, " not finite"),
                            static_cast<int64_t>(run->metrics.steps[found->second.front()]),
                            absl::StrCat("the ", name, " of ", count, count == 1 ? " step is" : " steps is",
                                         " no finite number; its curve has gaps there")});
}

// As traces say it themselves. Those of older programs do not, so that their files' time has to serve.
std::string WrittenAt(const std::string& path) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromTimeT(file.st_mtime), absl::UTCTimeZone());
}

void AddTraces(const std::string& folder, RunData* run) {
  std::vector<TraceFile> files;
  for (const std::string& name : NamesIn(folder)) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (!absl::EndsWith(name, ".json")) continue;
    std::error_code error;
    if (static_cast<double>(fs::file_size(path, error)) > kMostTraceBytes) {
      run->notes.push_back(
          absl::StrCat(path, " is larger than 64 MB: open it in Perfetto; it is not shown here"));
      continue;
    }
    const std::optional<std::string> text = TextOf(path, nullptr, &run->notes);
    std::optional<TraceFile> file = text ? ParseTrace(*text, path, &run->notes) : std::nullopt;
    if (!file) continue;
    if (file->written.empty()) file->written = WrittenAt(path);
    files.push_back(*std::move(file));
  }
  run->trace = JoinTraces(std::move(files), run->TheMesh(), &run->notes);
}

}  // namespace

std::vector<RunSample> ParseSamples(const std::string& text) {
  std::vector<RunSample> samples;
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  bool response = false;
  for (const std::string& line : lines) {
    int64_t step = 0;
    if (absl::StartsWith(line, kSampleHeading) &&
        absl::SimpleAtoi(line.substr(kSampleHeadingLength), &step)) {
      samples.push_back({step, "", ""});
      response = false;
    } else if (samples.empty()) {
      continue;
    } else if (!response && line == "response:") {
      response = true;
    } else if (response) {
      absl::StrAppend(&samples.back().response, line, "\n");
    } else {
      absl::StrAppend(&samples.back().prompt, absl::StripPrefix(absl::string_view(line), "prompt: "), "\n");
    }
  }
  for (RunSample& sample : samples) {
    for (std::string* part : {&sample.prompt, &sample.response}) {
      if (!part->empty()) part->pop_back();
    }
  }
  return samples;
}

absl::StatusOr<RunData> ReadRun(const std::string& folder, const ReadRunOptions& options) {
  if (!IsFolder(folder)) {
    return DataError(absl::StrCat(folder, FileExists(folder) ? " is a file" : " does not exist",
                                  "; name a run's folder, as runs/shakespeare"));
  }
  RunData run;
  run.folder = folder;
  while (run.folder.size() > 1 && run.folder.back() == '/') run.folder.pop_back();
  const std::string config = run.folder + "/config.yaml", metrics = run.folder + "/metrics.jsonl";
  if (!FileExists(config) && !FileExists(metrics)) {
    return DataError(
        absl::StrCat(folder, " holds neither config.yaml nor metrics.jsonl, so it is no run's folder"));
  }
  if (const auto text = TextOf(config, "the configuration and the mesh are not known", &run.notes))
    run.config = ParseConfig(*text, config, &run.notes);
  if (const auto text = TextOf(metrics, "the run has made no step, or its metrics are lost", &run.notes)) {
    run.metrics = ParseMetrics(*text, metrics);
    if (run.metrics.size() == 0) run.notes.push_back(metrics + " holds no step yet");
  }
  run.notes.insert(run.notes.end(), run.metrics.notes.begin(), run.metrics.notes.end());
  if (const auto text = TextOf(run.folder + "/starts.json",
                               "hosts and the memory of single ranks are not known", &run.notes))
    run.starts = ParseStarts(*text, run.folder + "/starts.json", &run.notes);
  AddFailedStarts(&run);
  if (const auto text = TextOf(run.folder + "/samples.txt", nullptr, &run.notes))
    run.samples = ParseSamples(*text);
  if (options.saved) run.saved = SavedSteps(run.folder + "/checkpoints");
  AddVerdict(run.folder + "/flight/verdict.json", &run);
  AddSkipped(run.folder + "/skipped.jsonl", &run);
  AddNotFinite("loss", "loss", &run);
  AddNotFinite("val_loss", "validation loss", &run);
  if (options.traces) AddTraces(run.folder + "/trace", &run);
  run.label = run.Value("run.name");
  if (run.label.empty()) run.label = fs::path(run.folder).filename().string();
  return run;
}

}  // namespace orthant
