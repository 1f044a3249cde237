#include "checkpoint/positioned_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

std::string Reason(int error) {
  return std::generic_category().message(error);
}

absl::Status WriteError(const std::string& path, int error) {
  return EnvironmentError(absl::StrCat(path, ": cannot be written: ", Reason(error)));
}

// 0, or the errno.
int Reserve(int fd, int64_t bytes) {
  if (bytes == 0) return 0;
  const int error = ::posix_fallocate(fd, 0, bytes);
  if (error != EINVAL && error != EOPNOTSUPP) return error;
  return ::ftruncate(fd, bytes) == 0 ? 0 : errno;  // file systems that cannot reserve
}

}  // namespace

PositionedFile& PositionedFile::operator=(PositionedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  return *this;
}

PositionedFile::~PositionedFile() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<PositionedFile> PositionedFile::Open(const std::string& path) {
  PositionedFile file;
  file.path_ = path;
  file.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file.fd_ < 0) {
    if (errno == ENOENT) return DataError(absl::StrCat(path, ": is missing"));
    return DataError(absl::StrCat(path, ": cannot be opened: ", Reason(errno)));
  }
  struct stat info;
  if (::fstat(file.fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    return DataError(absl::StrCat(path, ": is no file"));
  }
  file.size_ = info.st_size;
  return file;
}

absl::StatusOr<PositionedFile> PositionedFile::Create(const std::string& path, int64_t bytes) {
  PositionedFile file;
  file.path_ = path;
  file.size_ = bytes;
  file.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file.fd_ < 0) return WriteError(path, errno);
  if (const int error = Reserve(file.fd_, bytes); error != 0) return WriteError(path, error);
  return file;
}

absl::Status PositionedFile::ReadAt(int64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const ssize_t count = ::pread(fd_, to.data(), to.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return DataError(absl::StrCat(path_, ": cannot be read: ", Reason(errno)));
    if (count == 0) return DataError(absl::StrCat(path_, ": ends too early, at byte ", offset));
    to = to.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return absl::OkStatus();
}

absl::Status PositionedFile::WriteAt(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return WriteError(path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return absl::OkStatus();
}

absl::Status PositionedFile::Finish() {
  int error = ::fsync(fd_) == 0 ? 0 : errno;
  if (::close(std::exchange(fd_, -1)) != 0 && error == 0) error = errno;
  return error == 0 ? absl::OkStatus() : WriteError(path_, error);
}

}  // namespace orthant
