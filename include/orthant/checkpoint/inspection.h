// `orthant checkpoint inspect`: what a checkpoint holds, from its manifest and its files' sizes alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/manifest.h"

namespace orthant {

struct CheckpointInspection {
  std::string folder;
  CheckpointManifest manifest;
  std::vector<std::string> faults;  // files that are missing or of another size: whole sentences

  // `all`: every layer and file by itself; otherwise layers that are alike stand together.
  std::string ToText(bool all) const;
  nlohmann::ordered_json ToJson() const;
  absl::Status status() const;  // DataError when there are faults
};

// Errors of ReadCheckpointManifest.
absl::StatusOr<CheckpointInspection> InspectCheckpoint(const std::string& step_folder);

}  // namespace orthant
