// Opening a file for transfers, reserving its bytes, and what to do when a disk says no.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/async_file_parts.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

const char* Remedy(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free space there, or name a folder on a larger disk";
    case EROFS:
    case EACCES:
    case EPERM:
      return "name a folder that this user may write to";
    case EFBIG:
      return "raise the limit on the size of files (ulimit -f), or name a folder on another disk";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case EIO:
      return "the disk fails (see the system's log): name a folder on another one";
    case ENOENT:
    case ENOTDIR:
      return "make the folder first, or name another";
    default:
      return "name another folder";
  }
}

// Soft limits of 1024 open files are common, and a process of many ranks has more.
bool RaiseOpenFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return false;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// The descriptor or -errno.
int Open(const std::string& path, int flags) {
  while (true) {
    const int fd = ::open(path.c_str(), flags | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    if (errno == EINTR || (errno == EMFILE && RaiseOpenFileLimit())) continue;
    return -errno;
  }
}

int64_t FreeBytes(int fd) {
  struct statvfs disk {};
  if (::fstatvfs(fd, &disk) != 0) return 0;
  return static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
}

}  // namespace

absl::Status DiskError(const std::string& what, int error) {
  return EnvironmentError(
      absl::StrFormat("%s: %s; %s", what, std::generic_category().message(error), Remedy(error)));
}

absl::StatusOr<std::shared_ptr<OpenFile>> OpenFile::Create(const std::string& path, int64_t size) {
  // A leftover is removed, not shortened: a run that still has it open keeps what it has.
  if (::unlink(path.c_str()) != 0 && errno != ENOENT && errno != EROFS) {
    return DiskError(absl::StrCat(path, ": is there and cannot be replaced"), errno);
  }
  const int plain = Open(path, O_CREAT | O_EXCL);
  if (plain < 0) return DiskError(absl::StrCat(path, ": cannot be made"), -plain);
  std::shared_ptr<OpenFile> file(new OpenFile(path));
  file->plain_fd_ = plain;
  if (absl::Status status = file->Reserve(size); !status.ok()) {
    file->Remove();
    return status;
  }
  // Without O_CREAT: where direct access is unknown, such an open would fail and leave a file.
  if (const int direct = Open(path, O_DIRECT); direct >= 0) {
    file->direct_ = true;
    file->direct_fd_ = direct;
    ::close(plain);
    file->plain_fd_ = -1;
  }
  return file;
}

// fallocate, not posix_fallocate: where the file system cannot reserve, the latter writes to every block.
absl::Status OpenFile::Reserve(int64_t size) {
  if (size == 0) return absl::OkStatus();
  int error = 0;
  do {
    error = ::fallocate(plain_fd_, 0, 0, size) == 0 ? 0 : errno;
  } while (error == EINTR);
  if (error == EOPNOTSUPP || error == ENOSYS) {
    error = FreeBytes(plain_fd_) < size ? ENOSPC : ::ftruncate(plain_fd_, size) == 0 ? 0 : errno;
  }
  if (error == 0) return absl::OkStatus();
  if (error != ENOSPC) {
    return DiskError(absl::StrFormat("%s: %d bytes could not be reserved", path_, size), error);
  }
  struct stat info {};  // what was reserved in part is counted as free: it is given back
  const int64_t partial = ::fstat(plain_fd_, &info) == 0 ? static_cast<int64_t>(info.st_blocks) * 512 : 0;
  return DiskError(absl::StrFormat("%s: %d bytes are wanted, the disk has %d free", path_, size,
                                   FreeBytes(plain_fd_) + partial),
                   error);
}

OpenFile::~OpenFile() {
  if (direct_fd_ >= 0) ::close(direct_fd_);
  if (plain_fd_ >= 0) ::close(plain_fd_);
}

int OpenFile::Descriptor(bool direct) {
  if (direct) return direct_fd_;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (plain_fd_ < 0) {
    const int fd = Open(path_, 0);
    if (fd < 0) return fd;
    plain_fd_ = fd;
  }
  return plain_fd_;
}

void OpenFile::Remove() {
  struct stat named {
  }, mine{};
  const int fd = direct_ ? direct_fd_ : plain_fd_;
  if (::stat(path_.c_str(), &named) != 0 || ::fstat(fd, &mine) != 0) return;
  if (named.st_dev == mine.st_dev && named.st_ino == mine.st_ino) ::unlink(path_.c_str());
}

}  // namespace orthant
