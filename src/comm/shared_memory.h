// Memory that processes of one host share and that has no name in any file system: nothing is left of it when
// they die, however they die, and the size of /dev/shm does not matter.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace orthant {

// Tells another process of the host where to find the memory. Sent as it stands.
struct SharedMemoryHandle {
  int64_t pid = 0;
  int64_t file = -1;    // the maker's file descriptor
  uint64_t device = 0;  // which file that must be
  uint64_t inode = 0;
  int64_t bytes = 0;
};

// One mapping of such memory into this process. Moved, not copied; unmapped at its end, while the other
// processes keep theirs.
class SharedMemory {
 public:
  // Zeroes; pages come when they are first touched. UnavailableError with the reason when the system refuses.
  static absl::StatusOr<SharedMemory> Create(int64_t bytes);
  // The memory that another process (or this one) has made and keeps open. UnavailableError with the reason,
  // as when the maker is in another container.
  static absl::StatusOr<SharedMemory> Attach(const SharedMemoryHandle& handle);

  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

  // Of memory made here, until Close.
  SharedMemoryHandle handle() const;
  // Everybody has attached: from now on nobody can.
  void Close();

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  int file_ = -1;
};

}  // namespace orthant
