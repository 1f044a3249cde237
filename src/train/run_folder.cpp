#include "orthant/train/run_folder.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/train/run_config.h"

namespace orthant {
namespace {

// What may change between two starts of one run without changing its curve.
const std::vector<std::string> kMayDiffer = {"parallel", "zero",    "memory", "comm",
                                             "log",      "run.dir", "verify", "train.threads_per_rank"};

absl::Status CheckSameRun(const std::string& folder, const LoadedConfig& config) {
  const std::string stored_path = absl::StrCat(folder, "/config.yaml");
  RunConfig stored;
  auto loaded = LoadConfig(stored_path, {}, [&](Fields& f) { Describe(f, stored); });
  if (!loaded.ok()) {
    return DataError(absl::StrCat(
        stored_path, " cannot be read, so ", folder,
        " may hold another run; move it away or choose another run.dir: ", loaded.status().message()));
  }
  std::string keys;
  for (const ConfigDifference& d : config.Diff(*loaded, kMayDiffer)) {
    absl::StrAppend(&keys, "\n  ", d.key, ": ", d.right, " there, ", d.left, " here");
  }
  if (keys.empty()) return absl::OkStatus();
  return ConfigurationError(absl::StrCat("run.dir = ", folder,
                                         " already holds another run; these keys differ:", keys,
                                         "\nchoose another run.dir (or run.name), or remove that folder"));
}

absl::Status KeepAside(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::OkStatus();
  std::filesystem::rename(path, path + ".old", error);
  return error ? EnvironmentError(absl::StrCat(path, " cannot be renamed: ", error.message()))
               : absl::OkStatus();
}

// Where the files go is the user's choice, so a folder that cannot be written is a mistake of the
// configuration.
absl::Status Unwritable(const std::string& folder, const absl::Status& reason) {
  return ConfigurationError(absl::StrCat("run.dir = ", folder, " cannot be used: ", reason.message(),
                                         "; choose a folder that can be written"));
}

}  // namespace

absl::Status PrepareRunFolder(const std::string& folder, const LoadedConfig& config, bool* restarted) {
  *restarted = false;
  if (FileExists(folder) && !IsFolder(folder)) {
    return ConfigurationError(absl::StrCat("run.dir = ", folder, " is a file; a run needs a folder"));
  }
  if (absl::Status made = MakeDirectories(folder); !made.ok()) return Unwritable(folder, made);
  if (FileExists(absl::StrCat(folder, "/config.yaml"))) {
    if (absl::Status same = CheckSameRun(folder, config); !same.ok()) return same;
    *restarted = FileExists(absl::StrCat(folder, "/metrics.jsonl"));
    for (const char* file : {"metrics.jsonl", "samples.txt"}) {
      if (absl::Status kept = KeepAside(absl::StrCat(folder, "/", file)); !kept.ok())
        return Unwritable(folder, kept);
    }
  } else if (std::error_code error; !std::filesystem::is_empty(folder, error)) {
    if (error) return Unwritable(folder, EnvironmentError(error.message()));
    return ConfigurationError(
        absl::StrCat("run.dir = ", folder,
                     " holds files but no config.yaml, so no run of ours wrote it; choose an "
                     "empty or new folder"));
  }
  const absl::Status written = WriteFileAtomically(absl::StrCat(folder, "/config.yaml"), config.Dump());
  return written.ok() ? written : Unwritable(folder, written);
}

}  // namespace orthant
