#include "comm/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"

namespace orthant {
namespace {

absl::Status Refused(const std::string& what) {
  return absl::UnavailableError(absl::StrFormat("%s: %s", what, std::strerror(errno)));
}

absl::StatusOr<std::byte*> Map(int file, int64_t bytes) {
  void* data =
      mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (data == MAP_FAILED) return Refused(absl::StrFormat("mmap of %d shared bytes", bytes));
  return static_cast<std::byte*>(data);
}

}  // namespace

absl::StatusOr<SharedMemory> SharedMemory::Create(int64_t bytes) {
  // Beyond the limit of files ftruncate would not fail, but end the process.
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && static_cast<uint64_t>(bytes) > limit.rlim_cur) {
    return absl::UnavailableError(absl::StrFormat(
        "%d bytes of shared memory: more than the limit of a file's size (ulimit -f)", bytes));
  }
  SharedMemory memory;
  memory.file_ = memfd_create("orthant", MFD_CLOEXEC);
  if (memory.file_ < 0) return Refused("memfd_create");
  if (ftruncate(memory.file_, bytes) != 0)
    return Refused(absl::StrFormat("%d bytes of shared memory", bytes));
  absl::StatusOr<std::byte*> data = Map(memory.file_, bytes);
  if (!data.ok()) return data.status();
  memory.data_ = *data;
  memory.bytes_ = bytes;
  return memory;
}

absl::StatusOr<SharedMemory> SharedMemory::Attach(const SharedMemoryHandle& handle) {
  const std::string path = absl::StrFormat("/proc/%d/fd/%d", handle.pid, handle.file);
  SharedMemory memory;
  memory.file_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (memory.file_ < 0) return Refused(path);
  struct stat found {};
  if (fstat(memory.file_, &found) != 0) return Refused(path);
  if (found.st_dev != handle.device || found.st_ino != handle.inode || found.st_size != handle.bytes) {
    return absl::UnavailableError(
        absl::StrFormat("%s is another file here: the process is in another container", path));
  }
  absl::StatusOr<std::byte*> data = Map(memory.file_, handle.bytes);
  if (!data.ok()) return data.status();
  memory.data_ = *data;
  memory.bytes_ = handle.bytes;
  memory.Close();
  return memory;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
  Close();
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      file_(std::exchange(other.file_, -1)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(file_, other.file_);
  return *this;
}

SharedMemoryHandle SharedMemory::handle() const {
  SharedMemoryHandle handle;
  struct stat own {};
  if (file_ < 0 || fstat(file_, &own) != 0) return handle;
  handle.pid = getpid();
  handle.file = file_;
  handle.device = own.st_dev;
  handle.inode = own.st_ino;
  handle.bytes = bytes_;
  return handle;
}

void SharedMemory::Close() {
  if (file_ >= 0) close(file_);
  file_ = -1;
}

}  // namespace orthant
