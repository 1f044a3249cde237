// CheckpointReader: any part of any logical tensor of a checkpoint, whatever mesh wrote it. Only the slices
// that hold wanted elements are read, and each is checked against its checksum.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/checkpoint/manifest.h"

namespace orthant {

// Where the elements of one portion go.
struct StateTarget {
  std::string tensor;
  StateKind kind = StateKind::kParameter;  // as stored
  std::vector<int64_t> shape;              // logical; must be the stored one
  Portion portion;
  at::ScalarType dtype = at::kFloat;  // of the memory; elements are converted from the stored type
  std::byte* data = nullptr;          // [portion.elements()]; padding is left as it was
};

// Immutable after Open, but for the count of bytes. One thread calls Load at a time.
class CheckpointReader {
 public:
  // Errors of ReadCheckpointManifest; DataError when a file is missing or not as long as the manifest says.
  static absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(const std::string& step_folder);

  const std::string& folder() const { return folder_; }
  const CheckpointManifest& manifest() const { return manifest_; }
  bool Has(const std::string& tensor, StateKind kind) const {
    return manifest_.tensors.count({tensor, kind}) > 0;
  }

  // Fills every target. DataError naming file and logical tensor: not in the checkpoint, another shape, bytes
  // that do not match their checksum. What was filled before an error stays.
  absl::Status Load(const std::vector<StateTarget>& targets);

  int64_t bytes_read() const { return bytes_read_; }

 private:
  CheckpointReader(std::string folder, CheckpointManifest manifest)
      : folder_(std::move(folder)), manifest_(std::move(manifest)) {}

  std::string folder_;
  CheckpointManifest manifest_;
  std::atomic<int64_t> bytes_read_{0};
};

}  // namespace orthant
