#include "orthant/core/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace orthant {

FileLock LockOn(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return FileLock::kUnknown;
  const bool got = ::flock(file, LOCK_SH | LOCK_NB) == 0;
  const int error = errno;
  ::close(file);
  if (got) return FileLock::kFree;
  return error == EWOULDBLOCK ? FileLock::kHeld : FileLock::kUnknown;
}

}  // namespace orthant
