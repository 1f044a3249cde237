// ArchiveWriter: one safetensors file whose tensors are known beforehand and come in pieces, in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "c10/core/ScalarType.h"
#include "checkpoint/positioned_file.h"

namespace orthant {

struct ArchiveTensor {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;

  int64_t bytes() const;
};

// One thread.
class ArchiveWriter {
 public:
  // Writes the header. Tensors lie in the order given, one behind the other. EnvironmentError when the file
  // cannot be made.
  static absl::StatusOr<ArchiveWriter> Create(const std::string& path, std::vector<ArchiveTensor> tensors,
                                              const std::map<std::string, std::string>& metadata);

  const std::vector<ArchiveTensor>& tensors() const { return tensors_; }
  int64_t offset(size_t tensor) const { return offsets_[tensor]; }  // from the beginning of the file
  int64_t file_bytes() const { return file_.size(); }

  // At byte `begin` of the tensor.
  absl::Status Write(size_t tensor, int64_t begin, std::span<const std::byte> bytes) {
    return file_.WriteAt(offsets_[tensor] + begin, bytes);
  }
  absl::Status Finish() { return file_.Finish(); }

 private:
  ArchiveWriter(std::vector<ArchiveTensor> tensors, std::vector<int64_t> offsets, PositionedFile file)
      : tensors_(std::move(tensors)), offsets_(std::move(offsets)), file_(std::move(file)) {}

  std::vector<ArchiveTensor> tensors_;
  std::vector<int64_t> offsets_;
  PositionedFile file_;
};

}  // namespace orthant
