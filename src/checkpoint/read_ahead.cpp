#include "checkpoint/read_ahead.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/async_file.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"

namespace orthant {
namespace {

int64_t RoundUp(int64_t bytes) {
  return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

}  // namespace

ReadAhead::ReadAhead(std::vector<std::string> paths, std::vector<Stretch> stretches)
    : paths_(std::move(paths)), stretches_(std::move(stretches)), buffers_(kBuffers) {
  int64_t longest = 0;
  for (const Stretch& stretch : stretches_) longest = std::max(longest, stretch.bytes);
  const int64_t room = RoundUp(longest) + kDirectAlignment;  // the stretch begins anywhere in its first block
  const size_t used = std::min(buffers_.size(), stretches_.size());
  const MemoryScope host(MemoryTag::kHost);
  const OperationScope what("checkpoint read");
  for (size_t i = 0; i < used; ++i) {
    buffers_[i].memory = at::empty({room + kDirectAlignment}, at::kByte);
    void* start = buffers_[i].memory.data_ptr();
    auto space = static_cast<size_t>(room + kDirectAlignment);
    std::align(static_cast<size_t>(kDirectAlignment), static_cast<size_t>(room), start, space);
    buffers_[i].data = static_cast<std::byte*>(start);
  }
  thread_ = std::thread([this] { Run(); });
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<std::span<const std::byte>> ReadAhead::Next() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (next_ > 0) {
    buffers_[(next_ - 1) % kBuffers].full = false;
    changed_.notify_all();
  }
  const Buffer& buffer = buffers_[next_ % kBuffers];
  changed_.wait(lock, [&] { return buffer.full; });
  const Stretch& stretch = stretches_[next_++];
  if (!buffer.status.ok()) return buffer.status;
  return std::span<const std::byte>(buffer.data + buffer.skipped, static_cast<size_t>(stretch.bytes));
}

void ReadAhead::Run() {
  for (size_t i = 0; i < stretches_.size(); ++i) {
    Buffer& buffer = buffers_[i % kBuffers];
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || !buffer.full; });
      if (stop_) return;
    }
    absl::Status status = Read(stretches_[i], buffer);
    const std::lock_guard<std::mutex> lock(mutex_);
    buffer.status = std::move(status);
    buffer.full = true;
    changed_.notify_all();
  }
}

absl::Status ReadAhead::Open(int file) {
  if (open_ == file) return absl::OkStatus();
  if (fd_ >= 0) ::close(fd_);
  const std::string& path = paths_[static_cast<size_t>(file)];
  open_ = -1;
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) {
    return DataError(absl::StrCat(path, ": cannot be opened: ", std::generic_category().message(errno)));
  }
  open_ = file;
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  return absl::OkStatus();
}

absl::Status ReadAhead::Read(const Stretch& stretch, Buffer& buffer) {
  if (absl::Status status = Open(stretch.file); !status.ok()) return status;
  const std::string& path = paths_[static_cast<size_t>(stretch.file)];
  buffer.skipped = stretch.offset % kDirectAlignment;
  for (int64_t done = 0; done < stretch.bytes;) {
    const ssize_t count = ::pread(fd_, buffer.data + buffer.skipped + done,
                                  static_cast<size_t>(stretch.bytes - done), stretch.offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return DataError(absl::StrCat(path, ": cannot be read at byte ", stretch.offset + done, ": ",
                                    std::generic_category().message(errno)));
    }
    if (count == 0) {
      return DataError(absl::StrCat(path, ": ends at byte ", stretch.offset + done, ", before byte ",
                                    stretch.offset + stretch.bytes, " of its manifest"));
    }
    done += count;
  }
  return absl::OkStatus();
}

}  // namespace orthant
