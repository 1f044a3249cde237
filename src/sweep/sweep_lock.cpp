#include "orthant/sweep/sweep_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/file_lock.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

std::string Reason(int error) {
  return std::generic_category().message(error);
}

}  // namespace

absl::StatusOr<SweepLock> SweepLock::Take(const std::string& dir) {
  const std::string path = dir + "/sweep.lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return EnvironmentError(absl::StrCat(path, ": cannot be made: ", Reason(errno)));
  SweepLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK)
    return ConfigurationError(absl::StrCat(dir, ": another orthant sweep is at work in this folder"));
  std::fprintf(stderr, "warning: %s: cannot be locked: %s; start no second sweep of this folder\n",
               path.c_str(), Reason(errno).c_str());
  return lock;
}

SweepLock::~SweepLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FolderWait WaitForFolder(const std::string& folder, double seconds, const SweepSignals& signals) {
  const std::string path = folder + "/lock";
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  FolderWait wait;
  while (LockOn(path) == FileLock::kHeld) {
    if (std::chrono::steady_clock::now() >= end) {
      const absl::StatusOr<std::string> text = ReadFile(path);
      wait.holder = text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
      if (wait.holder.empty()) wait.holder = "another process";
      return wait;
    }
    const int came = signals.Wait(0.2);
    if (came != SIGINT && came != SIGTERM) continue;
    wait.signal = came;
    return wait;
  }
  return wait;
}

}  // namespace orthant
