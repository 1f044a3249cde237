// What one process does once all shards of a checkpoint are on disk: manifest, name, `latest`, removal of old
// ones. Wherever it is cut, the old checkpoint or the new one is whole and `latest` names a whole one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "orthant/checkpoint/manifest.h"

namespace orthant {

inline constexpr char kLatestFile[] = "latest";
inline constexpr char kWritingSuffix[] = ".writing";    // being written
inline constexpr char kReplacedSuffix[] = ".replaced";  // set aside for its successor
inline constexpr char kRemovingSuffix[] = ".removing";  // being removed

// ".step_00000340.writing" in `checkpoints`.
std::string WritingFolder(const std::string& checkpoints, int64_t step);

// A file or a folder with what is in it; nothing there is no error.
absl::Status RemoveAll(const std::string& path);
absl::Status Rename(const std::string& from, const std::string& to);

struct Placement {
  std::string checkpoints;
  int64_t keep_last = 2, keep_every = 0;
  // Told before each stage: "manifest", "rename", "sync", "latest", "prune", "done". For tests; may be null.
  std::function<void(const char* stage)> on_stage;
};

// Puts the writing folder of manifest.step in its place. Once it is there the status is OK, and `notice` says
// what went wrong with old ones. EnvironmentError otherwise; then earlier checkpoints and `latest` are as
// they were.
absl::Status Place(const Placement& placement, const CheckpointManifest& manifest, std::string* notice);

}  // namespace orthant
