// Reads and writes of whole buffers that run beside computation: io_uring where the kernel and the build have
// it, else a small pool of threads. The offload tier's way to a disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

// Alignment, in bytes, of buffers, sizes and offsets that may bypass the page cache.
inline constexpr int64_t kDirectAlignment = 4096;

// One transfer under way. The buffer stays untouched until Wait() returns. Dropping it waits.
class Transfer {
 public:
  class State {
   public:
    virtual ~State() = default;
    virtual absl::Status Wait() = 0;
    virtual bool Ready() = 0;
  };
  Transfer() = default;  // complete
  explicit Transfer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  // DataError naming the file when it is shorter than what was to be read; EnvironmentError when the disk is
  // full, read-only or fails. May be called again.
  absl::Status Wait();
  // Whether Wait() would return at once.
  bool Ready() const;

 private:
  std::shared_ptr<State> state_;
};

// What carries transfers: a ring of the kernel's, or two threads. Files may share one; then they are used by
// one thread, all of them. Lives until its last file and transfer are gone.
class TransferEngine;

// One file of one rank, exclusively its own; used by one thread. Opened read-write, created, removed when
// destroyed.
class AsyncFile {
 public:
  enum class Engine { kAutomatic, kUring, kThreads };
  // EnvironmentError (folder missing, read-only, no space) names the path and what to do. `size` bytes are
  // reserved at once, so that a full disk is told at the start.
  static absl::StatusOr<std::unique_ptr<AsyncFile>> Create(const std::string& path, int64_t size,
                                                           Engine engine = Engine::kAutomatic);
  // The same on an engine of other files.
  static absl::StatusOr<std::unique_ptr<AsyncFile>> Create(const std::string& path, int64_t size,
                                                           std::shared_ptr<TransferEngine> engine);
  virtual ~AsyncFile() = default;
  AsyncFile(const AsyncFile&) = delete;
  AsyncFile& operator=(const AsyncFile&) = delete;

  virtual Transfer Read(std::span<std::byte> buffer, int64_t offset) = 0;
  virtual Transfer Write(std::span<const std::byte> buffer, int64_t offset) = 0;
  // "io_uring", "threads"; with ", direct" where the page cache is bypassed.
  virtual std::string Describe() const = 0;

 protected:
  AsyncFile() = default;
};

// kAutomatic: a ring where the build has liburing and the kernel allows one, else threads. kUring where there
// is none is an EnvironmentError that says why.
absl::StatusOr<std::shared_ptr<TransferEngine>> MakeTransferEngine(
    AsyncFile::Engine engine = AsyncFile::Engine::kAutomatic);

}  // namespace orthant
