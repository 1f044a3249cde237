#include "orthant/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/train/run_config.h"

namespace orthant {
namespace {

absl::Status CheckSameRun(const std::string& folder, const LoadedConfig& config) {
  const std::string stored_path = absl::StrCat(folder, "/config.yaml");
  RunConfig stored;
  auto loaded = LoadConfig(stored_path, {}, [&](Fields& f) { Describe(f, stored); });
  if (!loaded.ok()) {
    return DataError(absl::StrCat(
        stored_path, " cannot be read, so ", folder,
        " may hold another run; move it away or choose another run.dir: ", loaded.status().message()));
  }
  std::string keys;
  for (const ConfigDifference& d : config.Diff(*loaded, MayDiffer())) {
    absl::StrAppend(&keys, "\n  ", d.key, ": ", d.right, " there, ", d.left, " here");
  }
  if (keys.empty()) return absl::OkStatus();
  return ConfigurationError(absl::StrCat("run.dir = ", folder,
                                         " already holds another run; these keys differ:", keys,
                                         "\nchoose another run.dir (or run.name), or remove that folder"));
}

absl::Status KeepAside(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::OkStatus();
  std::filesystem::rename(path, path + ".old", error);
  return error ? EnvironmentError(absl::StrCat(path, " cannot be renamed: ", error.message()))
               : absl::OkStatus();
}

// Where the files go is the user's choice, so a folder that cannot be written is a mistake of the
// configuration.
absl::Status Unwritable(const std::string& folder, const absl::Status& reason) {
  return ConfigurationError(absl::StrCat("run.dir = ", folder, " cannot be used: ", reason.message(),
                                         "; choose a folder that can be written"));
}

// "process 1234 on node7, since 2026-01-31 12:00:00", as the holder wrote it.
std::string Holder(int file) {
  char text[256] = "";
  const ssize_t length = pread(file, text, sizeof(text) - 1, 0);
  return length > 0 ? std::string(absl::StripAsciiWhitespace(text)) : "another process";
}

std::string ThisProcess() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat("process ", getpid(), " on ", host, ", since ",
                      absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::Now(), absl::LocalTimeZone()), "\n");
}

// False when another process holds the lock for longer than `orthant watch` does, which looks whether it is
// held.
bool TryLock(int file) {
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    if (flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return true;
    if (i + 1 < kTries) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

}  // namespace

const std::vector<std::string>& MayDiffer() {
  static const std::vector<std::string> keys = {"parallel",
                                                "zero",
                                                "memory",
                                                "comm",
                                                "log",
                                                "checkpoint",
                                                "fault",
                                                "run.dir",
                                                "verify",
                                                "train.stop_at",
                                                "train.device",
                                                "train.micro_batch",
                                                "train.check_replicas",
                                                "train.threads_per_rank",
                                                "train.dtype",
                                                "train.gradient_dtype",
                                                "train.reduce_dtype",
                                                "train.loss_scale"};
  return keys;
}

RunFolder::RunFolder(RunFolder&& other) noexcept : lock_(std::exchange(other.lock_, -1)) {}

RunFolder& RunFolder::operator=(RunFolder&& other) noexcept {
  std::swap(lock_, other.lock_);
  return *this;
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

absl::Status RunFolder::Lock(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/lock");
  lock_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) return Unwritable(folder, EnvironmentError(absl::StrCat(path, ": ", std::strerror(errno))));
  if (!TryLock(lock_)) {
    return ConfigurationError(absl::StrCat("run.dir = ", folder, " is in use by ", Holder(lock_),
                                           "; wait for it, stop it, or choose another run.dir"));
  }
  // Some shared file systems have no locks: then two starts at once are the user's to avoid.
  const std::string mine = ThisProcess();
  if (ftruncate(lock_, 0) != 0 || pwrite(lock_, mine.data(), mine.size(), 0) < 0)
    return Unwritable(folder, EnvironmentError(absl::StrCat(path, ": ", std::strerror(errno))));
  return absl::OkStatus();
}

absl::StatusOr<RunFolder> RunFolder::Open(const std::string& folder, const LoadedConfig& config) {
  if (FileExists(folder) && !IsFolder(folder)) {
    return ConfigurationError(absl::StrCat("run.dir = ", folder, " is a file; a run needs a folder"));
  }
  if (absl::Status made = MakeDirectories(folder); !made.ok()) return Unwritable(folder, made);
  const bool known = FileExists(absl::StrCat(folder, "/config.yaml"));
  if (std::error_code error;
      !known && !FileExists(absl::StrCat(folder, "/lock")) && !std::filesystem::is_empty(folder, error)) {
    if (error) return Unwritable(folder, EnvironmentError(error.message()));
    return ConfigurationError(
        absl::StrCat("run.dir = ", folder,
                     " holds files but no config.yaml, so no run of ours wrote it; choose an "
                     "empty or new folder"));
  }
  RunFolder opened;
  if (absl::Status locked = opened.Lock(folder); !locked.ok()) return locked;
  if (known) {
    if (absl::Status same = CheckSameRun(folder, config); !same.ok()) return same;
  }
  const absl::Status written = WriteFileAtomically(absl::StrCat(folder, "/config.yaml"), config.Dump());
  if (!written.ok()) return Unwritable(folder, written);
  return opened;
}

absl::Status KeepOldFiles(const std::string& folder) {
  for (const char* file : {"metrics.jsonl", "samples.txt"}) {
    if (absl::Status kept = KeepAside(absl::StrCat(folder, "/", file)); !kept.ok()) return kept;
  }
  return absl::OkStatus();
}

absl::Status CutSamples(const std::string& path, int64_t step) {
  if (!FileExists(path)) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  constexpr std::string_view kHeading = "--- step ";
  for (size_t at = 0; at != std::string::npos && at < text->size();) {
    int64_t of = 0;
    const std::string_view line = std::string_view(*text).substr(
        at, text->find('\n', at) == std::string::npos ? std::string::npos : text->find('\n', at) - at);
    if (line.substr(0, kHeading.size()) == kHeading &&
        absl::SimpleAtoi(std::string(line.substr(kHeading.size())), &of) && of > step) {
      text->resize(at);
      return WriteFileAtomically(path, *text);
    }
    const size_t next = text->find('\n', at);
    at = next == std::string::npos ? next : next + 1;
  }
  return absl::OkStatus();
}

}  // namespace orthant
