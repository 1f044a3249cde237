#include "orthant/checkpoint/inspection.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checkpoint/dtype_names.h"
#include "checkpoint/tensor_order.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {

absl::StatusOr<CheckpointInspection> InspectCheckpoint(const std::string& step_folder) {
  absl::StatusOr<CheckpointManifest> manifest = ReadCheckpointManifest(step_folder);
  if (!manifest.ok()) return manifest.status();
  CheckpointInspection inspection{step_folder, *std::move(manifest), {}};
  for (const CheckpointManifest::File& file : inspection.manifest.files) {
    const std::string path = absl::StrCat(step_folder, "/", file.name);
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error) {
      inspection.faults.push_back(
          absl::StrCat(path, ": ", FileExists(path) ? error.message() : "is missing"));
    } else if (static_cast<int64_t>(size) != file.bytes) {
      inspection.faults.push_back(
          absl::StrCat(path, ": has ", size, " bytes, and ", file.bytes, " were written"));
    }
  }
  return inspection;
}

absl::Status CheckpointInspection::status() const {
  if (faults.empty()) return absl::OkStatus();
  return DataError(absl::StrCat(
      faults.front(), faults.size() > 1 ? absl::StrCat(" (and ", faults.size() - 1, " others)") : "",
      "; `orthant checkpoint verify ", folder, "` says what is hurt"));
}

nlohmann::ordered_json CheckpointInspection::ToJson() const {
  using Json = nlohmann::ordered_json;
  Json json = {{"folder", folder},          {"step", manifest.step},     {"version", manifest.version},
               {"format", manifest.format}, {"bytes", manifest.bytes()}, {"run", manifest.run},
               {"files", Json::array()},    {"tensors", Json::array()},  {"faults", faults}};
  for (const CheckpointManifest::File& file : manifest.files) {
    json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}});
  }
  for (const std::string& name : TensorNames(manifest)) {
    for (int k = 0; k < kStateKinds; ++k) {
      const auto found = manifest.tensors.find({name, static_cast<StateKind>(k)});
      if (found == manifest.tensors.end()) continue;
      const LogicalTensor& tensor = found->second;
      const int64_t elements = ElementsOf(tensor.shape);
      json["tensors"].push_back({{"name", name},
                                 {"kind", ToString(found->first.second)},
                                 {"dtype", StateDtypeName(tensor.dtype)},
                                 {"shape", tensor.shape},
                                 {"elements", elements},
                                 {"bytes", elements * BytesOf(tensor.dtype)},
                                 {"slices", tensor.slices.size()}});
    }
  }
  return json;
}

}  // namespace orthant
