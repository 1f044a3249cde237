// Small file helpers: whole-file reads, writes that are whole or not there, folders, read-only memory maps.
// Failures are DataError (what was asked for is missing or unreadable) or EnvironmentError (cannot write).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

bool FileExists(const std::string& path);  // a file or a folder
bool IsFolder(const std::string& path);

// The bytes of a file. DataError when it is missing, a folder, or unreadable.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Written beside its place, synced, renamed, and the folder synced: after a crash the old file or the new one
// is there, never a part. EnvironmentError when it cannot be written; nothing is left behind then.
absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes);

// Flushes a folder's entries (new, renamed and removed names) to disk.
absl::Status SyncFolder(const std::string& path);

// The folder and its missing parents. EnvironmentError names the part that stands in the way.
absl::Status MakeDirectories(const std::string& path);

// A file mapped read-only. Movable; unmapped when destroyed. Reading is safe from any thread.
class MappedFile {
 public:
  // DataError when the file is missing or unreadable. An empty file is an empty span.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Valid as long as this object lives.
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  const void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace orthant
