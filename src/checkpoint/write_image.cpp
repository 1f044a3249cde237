#include "checkpoint/write_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/async_file_parts.h"
#include "orthant/core/async_file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr int64_t kLargestWrite = int64_t{16} << 20;
constexpr int64_t kFewestWrites = 16;  // of one file, so that progress is told and a cancel is seen

int64_t RoundUp(int64_t bytes) {
  return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

class OutputFile {
 public:
  explicit OutputFile(std::string path) : path_(std::move(path)) {}
  ~OutputFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  absl::Status Create(int64_t bytes) {
    // A leftover goes: a process that still has it open keeps what it has.
    if (::unlink(path_.c_str()) != 0 && errno != ENOENT) return Failed("cannot be replaced", errno);
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0) return Failed("cannot be made", errno);
    // A disk that is too full says so before anything is written.
    int error = 0;
    do {
      error = ::fallocate(fd_, 0, 0, bytes) == 0 ? 0 : errno;
    } while (error == EINTR);
    if (error != 0 && error != EOPNOTSUPP && error != ENOSYS && error != EINVAL) {
      return Failed(absl::StrCat("its ", bytes, " bytes cannot be reserved"), error);
    }
    UseDirect(true);
    return absl::OkStatus();
  }

  // `bytes` from `data`; direct ones are a multiple of the alignment.
  absl::Status Write(const std::byte* data, int64_t bytes, int64_t offset) {
    while (bytes > 0) {
      const ssize_t count = ::pwrite(fd_, data, static_cast<size_t>(bytes), offset);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EINVAL && UseDirect(false)) continue;
      if (count < 0) return Failed("cannot be written", errno);
      if (count == 0) return Failed("cannot be written", ENOSPC);
      if (count % kDirectAlignment != 0) UseDirect(false);
      data += count;
      bytes -= count;
      offset += count;
    }
    return absl::OkStatus();
  }

  absl::Status Finish(int64_t bytes) {
    if (::ftruncate(fd_, bytes) != 0) return Failed("cannot be cut to its size", errno);
    if (::fsync(fd_) != 0) return Failed("cannot be synced", errno);
    // Network file systems report a failed write only here.
    if (::close(std::exchange(fd_, -1)) != 0) return Failed("cannot be closed", errno);
    return absl::OkStatus();
  }

 private:
  absl::Status Failed(const std::string& what, int error) const {
    return DiskError(absl::StrCat(path_, ": ", what), error);
  }
  // Whether it changed. File systems that cannot (tmpfs) stay with the page cache.
  bool UseDirect(bool direct) {
    const int flags = ::fcntl(fd_, F_GETFL);
    const int wanted = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
    return flags >= 0 && wanted != flags && ::fcntl(fd_, F_SETFL, wanted) == 0;
  }

  std::string path_;
  int fd_ = -1;
};

}  // namespace

absl::Status WriteImage(const std::string& path, const std::byte* data, int64_t bytes,
                        const std::function<void(int64_t written, int64_t total)>& on_write,
                        const std::atomic<bool>& cancelled) {
  OutputFile file(path);
  if (absl::Status status = file.Create(bytes); !status.ok()) return status;
  const int64_t step = std::clamp(RoundUp(bytes / kFewestWrites), kDirectAlignment, kLargestWrite);
  for (int64_t at = 0; at < bytes; at += step) {
    if (cancelled.load(std::memory_order_relaxed)) {
      return EnvironmentError(absl::StrCat(path, ": given up: the run ends"));
    }
    const int64_t end = std::min(at + step, RoundUp(bytes));
    if (absl::Status status = file.Write(data + at, end - at, at); !status.ok()) return status;
    if (on_write) on_write(std::min(end, bytes), bytes);
  }
  return file.Finish(bytes);
}

}  // namespace orthant
