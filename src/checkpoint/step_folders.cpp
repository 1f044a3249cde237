#include "orthant/checkpoint/step_folders.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "checkpoint/placing.h"
#include "orthant/checkpoint/manifest.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

std::optional<int64_t> StepNamed(const std::string& name) {
  int64_t step = 0;
  absl::string_view digits = name;
  if (!absl::ConsumePrefix(&digits, "step_") || !absl::SimpleAtoi(digits, &step)) return std::nullopt;
  if (step < 0 || StepName(step) != name) return std::nullopt;
  return step;
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored)) {
    names.push_back(it->path().filename().string());
  }
  return names;
}

// What the user can be told to name.
std::string WhatIsThere(const std::string& folder) {
  std::vector<int64_t> steps = StepsIn(folder);
  if (steps.empty()) return absl::StrCat(folder, " holds no checkpoint");
  std::vector<std::string> names;
  for (const int64_t step : steps) names.push_back(StepName(step));
  return absl::StrCat(folder, " holds ", absl::StrJoin(names, ", "));
}

}  // namespace

std::string StepName(int64_t step) {
  return absl::StrFormat("step_%08d", step);
}

std::vector<int64_t> StepsIn(const std::string& checkpoints) {
  std::vector<int64_t> steps;
  for (const std::string& name : NamesIn(checkpoints)) {
    const std::optional<int64_t> step = StepNamed(name);
    if (step.has_value() && IsFolder(checkpoints + "/" + name)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end(), std::greater<>());
  return steps;
}

int64_t LatestStep(const std::string& checkpoints) {
  const std::string path = checkpoints + "/" + kLatestFile;
  if (!FileExists(path)) return -1;
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return -1;
  const std::string name(absl::StripTrailingAsciiWhitespace(*text));
  const std::optional<int64_t> step = StepNamed(name);
  return step.has_value() && IsFolder(checkpoints + "/" + name) ? *step : -1;
}

absl::StatusOr<std::string> ResolveCheckpoint(const std::string& path) {
  std::string folder = path;
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  if (!IsFolder(folder)) {
    return DataError(absl::StrCat(path,
                                  ": there is no such folder; name the folder of a step, of "
                                  "checkpoints, or of a run"));
  }
  if (FileExists(folder + "/" + kCheckpointManifest)) return folder;
  if (StepNamed(fs::path(folder).filename().string()).has_value()) {
    return DataError(absl::StrCat(folder, ": ", kCheckpointManifest,
                                  " is missing, so this is no whole checkpoint; ",
                                  WhatIsThere(fs::path(folder).parent_path().string())));
  }
  const bool run = StepsIn(folder).empty() && IsFolder(folder + "/checkpoints");
  const std::string checkpoints = run ? folder + "/checkpoints" : folder;
  if (const int64_t step = LatestStep(checkpoints); step >= 0) return checkpoints + "/" + StepName(step);
  if (StepsIn(checkpoints).empty()) {
    return DataError(absl::StrCat(path, ": ", WhatIsThere(checkpoints),
                                  "; name the folder of a step, of checkpoints, or of a run that has saved"));
  }
  return DataError(absl::StrCat(checkpoints, "/", kLatestFile, ": is missing or names no checkpoint; ",
                                WhatIsThere(checkpoints), ": name one of them"));
}

std::vector<int64_t> StepsToRemove(std::vector<int64_t> steps, int64_t newest, int64_t keep_last,
                                   int64_t keep_every) {
  // Steps after the newest are of an earlier life of the run, which has come back from before them: they are
  // replaced when it reaches them, and until then the user may want them.
  std::erase_if(steps, [&](int64_t step) { return step >= newest; });
  std::sort(steps.begin(), steps.end(), std::greater<>());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  std::vector<int64_t> removed;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool recent = static_cast<int64_t>(i) + 1 < keep_last;  // the newest is one of them
    if (!recent && (keep_every <= 0 || steps[i] % keep_every != 0)) removed.push_back(steps[i]);
  }
  return removed;
}

absl::Status CleanUp(const std::string& checkpoints) {
  for (const std::string& name : NamesIn(checkpoints)) {
    const std::string path = checkpoints + "/" + name;
    if (absl::StartsWith(name, std::string(kLatestFile) + ".tmp.")) {
      if (absl::Status status = RemoveAll(path); !status.ok()) return status;
      continue;
    }
    if (name.front() != '.') continue;
    const std::string inner = name.substr(1);
    const size_t dot = inner.rfind('.');
    const std::optional<int64_t> step = StepNamed(inner.substr(0, dot));
    if (dot == std::string::npos || !step.has_value()) continue;
    const std::string place = checkpoints + "/" + StepName(*step);
    // Set aside for its successor, which never came.
    if (inner.substr(dot) == kReplacedSuffix && !FileExists(place)) {
      if (absl::Status status = Rename(path, place); !status.ok()) return status;
      continue;
    }
    if (inner.substr(dot) == kWritingSuffix || inner.substr(dot) == kRemovingSuffix ||
        inner.substr(dot) == kReplacedSuffix) {
      if (absl::Status status = RemoveAll(path); !status.ok()) return status;
    }
  }
  return IsFolder(checkpoints) ? SyncFolder(checkpoints) : absl::OkStatus();
}

}  // namespace orthant
