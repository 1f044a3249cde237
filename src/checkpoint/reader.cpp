#include "orthant/checkpoint/reader.h"

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "c10/core/GradMode.h"
#include "checkpoint/load_plan.h"
#include "checkpoint/manifest_json.h"
#include "orthant/core/file.h"
#include "orthant/core/hash.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

std::string PathOf(const std::string& folder, const CheckpointManifest::File& file) {
  return (fs::path(folder) / file.name).string();
}

// Rounded to nearest where the type is narrower. `bytes` may lie anywhere.
at::Tensor Converted(std::span<const std::byte> bytes, at::ScalarType from, at::ScalarType to) {
  const auto size = static_cast<size_t>(c10::elementSize(from));
  const at::Tensor source = at::empty({static_cast<int64_t>(bytes.size() / size)}, from);
  std::memcpy(source.data_ptr(), bytes.data(), bytes.size());
  return source.to(to);
}

// Copies what each target wants of the slice.
void Scatter(const PlannedSlice& planned, std::span<const std::byte> bytes, const LoadPlan& plan,
             const std::vector<StateTarget>& targets) {
  const std::vector<LogicalRun> runs = RunsOf(planned.tensor->shape, planned.slice->portion);
  std::map<at::ScalarType, at::Tensor> converted;
  for (const size_t i : planned.targets) {
    const StateTarget& target = targets[i];
    const std::byte* source = bytes.data();
    if (target.dtype != planned.tensor->dtype) {
      at::Tensor& values = converted[target.dtype];
      if (!values.defined()) values = Converted(bytes, planned.tensor->dtype, target.dtype);
      source = static_cast<const std::byte*>(values.data_ptr());
    }
    const auto size = static_cast<int64_t>(c10::elementSize(target.dtype));
    for (const SharedRun& run : SharedRuns(runs, plan.runs[i])) {
      std::memcpy(target.data + run.b * size, source + run.a * size, static_cast<size_t>(run.length * size));
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointReader>> CheckpointReader::Open(const std::string& step_folder) {
  absl::StatusOr<CheckpointManifest> manifest = ReadCheckpointManifest(step_folder);
  if (!manifest.ok()) return manifest.status();
  for (const CheckpointManifest::File& file : manifest->files) {
    const std::string path = PathOf(step_folder, file);
    std::error_code error;
    const uintmax_t bytes = fs::file_size(path, error);
    if (error) {
      return DataError(absl::StrCat(path, ": is missing or unreadable (", error.message(), "); ",
                                    VerifyHint(step_folder)));
    }
    if (bytes != static_cast<uintmax_t>(file.bytes)) {
      return DataError(absl::StrCat(path, ": is ", bytes, " bytes long, and the manifest says ", file.bytes,
                                    "; ", VerifyHint(step_folder)));
    }
  }
  return std::unique_ptr<CheckpointReader>(new CheckpointReader(step_folder, *std::move(manifest)));
}

absl::Status CheckpointReader::Load(const std::vector<StateTarget>& targets) {
  const c10::NoGradGuard no_grad;
  absl::StatusOr<LoadPlan> plan = PlanLoad(manifest_, folder_, targets);
  if (!plan.ok()) return plan.status();
  if (plan->stretches.empty()) return absl::OkStatus();
  std::vector<std::string> paths;
  for (const CheckpointManifest::File& file : manifest_.files) paths.push_back(PathOf(folder_, file));
  ReadAhead reading(paths, plan->stretches);
  for (size_t s = 0; s < plan->stretches.size(); ++s) {
    const Stretch& stretch = plan->stretches[s];
    absl::StatusOr<std::span<const std::byte>> bytes = reading.Next();
    if (!bytes.ok()) {
      const PlannedSlice& first = plan->slices[plan->members[s].first];
      return DataError(absl::StrCat(bytes.status().message(), "; there lies ", first.key->first, " (",
                                    ToString(first.key->second), "); ", VerifyHint(folder_)));
    }
    bytes_read_ += stretch.bytes;
    for (size_t i = plan->members[s].first; i < plan->members[s].second; ++i) {
      const PlannedSlice& planned = plan->slices[i];
      const Slice& slice = *planned.slice;
      const auto part = bytes->subspan(static_cast<size_t>(slice.offset - stretch.offset),
                                       static_cast<size_t>(slice.bytes));
      if (Xxh64(part) != slice.xxh64) {
        return DataError(absl::StrFormat(
            "%s: bytes %d to %d are damaged (their checksum is not %016x): part of %s (%s); %s",
            paths[static_cast<size_t>(slice.file)], slice.offset, slice.offset + slice.bytes - 1, slice.xxh64,
            planned.key->first, ToString(planned.key->second), VerifyHint(folder_)));
      }
      Scatter(planned, part, *plan, targets);
    }
  }
  return absl::OkStatus();
}

}  // namespace orthant
