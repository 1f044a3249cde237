// ReadAhead: stretches of files, read in order by a thread while the caller works on the one before.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

// Consecutive bytes of one file.
struct Stretch {
  int file = 0;  // index in the list of paths
  int64_t offset = 0, bytes = 0;
};

class ReadAhead {
 public:
  // `stretches` of each file stand together. Memory: a few times the longest stretch.
  ReadAhead(std::vector<std::string> paths, std::vector<Stretch> stretches);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The next stretch's bytes, valid until the next call. DataError naming the file when it cannot be read, or
  // ends too early. Their address modulo 4096 is that of their place in the file.
  absl::StatusOr<std::span<const std::byte>> Next();

 private:
  static constexpr int kBuffers = 3;
  struct Buffer {
    at::Tensor memory;
    std::byte* data = nullptr;  // aligned
    int64_t skipped = 0;        // bytes read before the stretch, for alignment
    absl::Status status;
    bool full = false;
  };

  void Run();
  absl::Status Read(const Stretch& stretch, Buffer& buffer);
  absl::Status Open(int file);

  const std::vector<std::string> paths_;
  const std::vector<Stretch> stretches_;
  std::vector<Buffer> buffers_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  size_t next_ = 0;  // the caller's

  int open_ = -1, fd_ = -1;  // the thread's
  std::thread thread_;
};

}  // namespace orthant
