// A file that is read or written at given places, in pieces: what does not fit into memory streams through
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

// Movable; one thread. Closed when destroyed.
class PositionedFile {
 public:
  // DataError when it is missing, a folder or unreadable.
  static absl::StatusOr<PositionedFile> Open(const std::string& path);
  // A new file of `bytes` bytes, their room reserved where the file system can: a full disk is told here.
  // EnvironmentError when it cannot be made.
  static absl::StatusOr<PositionedFile> Create(const std::string& path, int64_t bytes);

  PositionedFile() = default;
  PositionedFile(PositionedFile&& other) noexcept { *this = std::move(other); }
  PositionedFile& operator=(PositionedFile&& other) noexcept;
  ~PositionedFile();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }

  // All of `to`, from `offset`. DataError: the file ends before, or the disk fails.
  absl::Status ReadAt(int64_t offset, std::span<std::byte> to) const;
  absl::Status WriteAt(int64_t offset, std::span<const std::byte> bytes);
  // Syncs and closes. EnvironmentError when the disk did not take everything.
  absl::Status Finish();

 private:
  std::string path_;
  int64_t size_ = 0;
  int fd_ = -1;
};

}  // namespace orthant
