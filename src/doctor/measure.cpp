#include "orthant/doctor/measure.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"

namespace orthant::doctor {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class File {
 public:
  File(const std::string& path, int flags) : descriptor_(open(path.c_str(), flags, 0600)) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

struct FreeAligned {
  void operator()(void* memory) const { std::free(memory); }
};

// Seconds until all bytes went through `move` (a read or a write at an offset); -1 on failure.
double MoveAll(int64_t bytes, const std::function<ssize_t(int64_t offset, size_t count)>& move) {
  constexpr int64_t kPart = int64_t{4} << 20;
  const Clock::time_point start = Clock::now();
  for (int64_t offset = 0; offset < bytes;) {
    const ssize_t moved = move(offset, static_cast<size_t>(std::min(kPart, bytes - offset)));
    if (moved <= 0) return -1;
    offset += moved;
  }
  return Since(start);
}

}  // namespace

CoreSpeed MeasureCore() {
  constexpr int64_t kSize = 512;
  constexpr int kTimes = 16;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor a = at::ones({kSize, kSize}), b = at::ones({kSize, kSize});
  at::Tensor c = at::matmul(a, b);
  double best = 1e9;
  const double began = ThreadSeconds();
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < kTimes; ++i) {
    const double from = ThreadSeconds();
    at::matmul_out(c, a, b);
    best = std::min(best, ThreadSeconds() - from);
  }
  const CoreSpeed speed{2.0 * kSize * kSize * kSize / std::max(best, 1e-9),
                        std::min(1.0, (ThreadSeconds() - began) / std::max(Since(start), 1e-9))};
  at::set_num_threads(threads);
  return speed;
}

double MeasureCopy() {
  constexpr size_t kBytes = size_t{32} << 20;
  constexpr int kTimes = 5;
  std::vector<char> from(kBytes, 1), to(kBytes, 2);
  double best = 1e9;
  for (int i = 0; i < kTimes; ++i) {
    const double start = ThreadSeconds();
    std::memcpy(to.data(), from.data(), kBytes);
    best = std::min(best, ThreadSeconds() - start);
    from[static_cast<size_t>(i)] = to[kBytes - 1];  // so that no copy is left out
  }
  return static_cast<double>(kBytes) / std::max(best, 1e-9);
}

DiskSpeed MeasureDisk(const std::string& folder, const std::string& name, int64_t bytes) {
  constexpr size_t kAlignment = 4096;
  constexpr int64_t kPart = int64_t{4} << 20;
  DiskSpeed speed;
  const std::string path = absl::StrCat(folder, "/", name);
  const std::unique_ptr<void, FreeAligned> memory(std::aligned_alloc(kAlignment, static_cast<size_t>(kPart)));
  std::memset(memory.get(), 0x5a, static_cast<size_t>(kPart));
  const auto measure = [&](int direct) {
    const File out(path, O_WRONLY | O_CREAT | O_TRUNC | direct);
    if (out.descriptor() < 0) return false;
    const Clock::time_point start = Clock::now();
    const double wrote = MoveAll(bytes, [&](int64_t offset, size_t count) {
      return pwrite(out.descriptor(), memory.get(), count, offset);
    });
    if (wrote < 0 || fsync(out.descriptor()) != 0) return false;
    speed.write = static_cast<double>(bytes) / std::max(Since(start), 1e-9);
    const File in(path, O_RDONLY | direct);
    if (in.descriptor() < 0) return false;
    // Without O_DIRECT the read would only show the page cache.
    if (direct == 0) posix_fadvise(in.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
    const double read = MoveAll(bytes, [&](int64_t offset, size_t count) {
      return pread(in.descriptor(), memory.get(), count, offset);
    });
    if (read < 0) return false;
    speed.read = static_cast<double>(bytes) / std::max(read, 1e-9);
    speed.direct = direct != 0;
    return true;
  };
  if (!measure(O_DIRECT) && !measure(0)) speed.error = absl::StrCat(folder, ": ", std::strerror(errno));
  unlink(path.c_str());
  return speed;
}

}  // namespace orthant::doctor
