#include "orthant/core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

// std::generic_category is thread-safe where strerror need not be.
std::string Reason(int error) {
  return std::generic_category().message(error);
}

// Closes its descriptor at the end of the scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Network file systems report a failed write only here.
  int Close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

// Opens a regular file for reading and tells its size.
absl::StatusOr<int> OpenForReading(const std::string& path, size_t* size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return DataError(absl::StrCat(path, ": cannot be opened: ", Reason(errno)));
  struct stat info;
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    ::close(fd);
    return DataError(absl::StrCat(path, ": is a folder, not a file"));
  }
  *size = static_cast<size_t>(info.st_size);
  return fd;
}

// Writes all bytes; 0 or the errno.
int WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) return errno;
    if (count > 0) bytes.remove_prefix(static_cast<size_t>(count));
  }
  return 0;
}

// A name beside `path` that no other thread or process uses.
std::string AsideName(const std::string& path) {
  static std::atomic<uint64_t> counter{0};  // only makes names distinct
  return absl::StrCat(path, ".tmp.", ::getpid(), ".", counter.fetch_add(1));
}

}  // namespace

bool FileExists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool IsFolder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  size_t size = 0;
  absl::StatusOr<int> opened = OpenForReading(path, &size);
  if (!opened.ok()) return opened.status();
  const Descriptor file(*opened);
  std::string bytes(size, '\0');
  size_t used = 0;
  while (true) {
    // Files of /proc say 0 bytes and hold more: read until the end, not until the size.
    if (used == bytes.size()) bytes.resize(bytes.size() + 4096);
    const ssize_t count = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return DataError(absl::StrCat(path, ": cannot be read: ", Reason(errno)));
    if (count == 0) break;
    used += static_cast<size_t>(count);
  }
  bytes.resize(used);
  return bytes;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes) {
  const std::string aside = AsideName(path);
  Descriptor file(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) return EnvironmentError(absl::StrCat(path, ": cannot be written: ", Reason(errno)));
  int error = WriteAll(file.get(), bytes);
  if (error == 0 && ::fsync(file.get()) != 0) error = errno;
  if (file.Close() != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(aside.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(aside.c_str());
    return EnvironmentError(absl::StrCat(path, ": cannot be written: ", Reason(error)));
  }
  const fs::path folder = fs::path(path).parent_path();
  return SyncFolder(folder.empty() ? "." : folder.string());
}

absl::Status SyncFolder(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return EnvironmentError(absl::StrCat(path, ": cannot be opened: ", Reason(errno)));
  // Some file systems cannot sync a folder and say EINVAL; their renames are as safe as they can be made.
  if (::fsync(folder.get()) != 0 && errno != EINVAL) {
    return EnvironmentError(absl::StrCat(path, ": cannot be synced: ", Reason(errno)));
  }
  return absl::OkStatus();
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && IsFolder(path)) return absl::OkStatus();
  // Find the part that stands in the way, to name it.
  fs::path part;
  for (const fs::path& piece : fs::path(path)) {
    part /= piece;
    if (FileExists(part.string()) && !IsFolder(part.string())) {
      return EnvironmentError(
          absl::StrCat(path, ": cannot be made: ", part.string(), " is a file, not a folder"));
    }
  }
  return EnvironmentError(absl::StrCat(path, ": cannot be made: ", error.message()));
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  MappedFile mapped;
  absl::StatusOr<int> opened = OpenForReading(path, &mapped.size_);
  if (!opened.ok()) return opened.status();
  const Descriptor file(*opened);
  if (mapped.size_ == 0) return mapped;
  void* data = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) {
    mapped.size_ = 0;
    return DataError(absl::StrCat(path, ": cannot be mapped: ", Reason(errno)));
  }
  mapped.data_ = data;
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<void*>(data_), size_);
}

}  // namespace orthant
