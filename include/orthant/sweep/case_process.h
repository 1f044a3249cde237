// A case as a process: its command line, its start and its end, and a sweep's signals and lock.
#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/sweep/sweep_file.h"

namespace orthant {

// The arguments that run `one`, with this program `self`; its files go to DIR/NAME. `words`: sweep.arguments
// split.
std::vector<std::string> CommandOf(const SweepSettings& settings, const SweepCase& one,
                                   const std::string& self, const std::vector<std::string>& words);

// Takes SIGINT and SIGTERM in turn instead of having them end the process, until the end of the scope. For a
// process without other threads, or whose others block these.
class SweepSignals {
 public:
  SweepSignals();
  ~SweepSignals();
  SweepSignals(const SweepSignals&) = delete;
  SweepSignals& operator=(const SweepSignals&) = delete;

  // Waits at most so many seconds for SIGINT, SIGTERM or a child's end. -> the signal; 0: none came.
  int Wait(double seconds) const;
  const sigset_t& outer_mask() const { return outer_; }  // what a child must start with

 private:
  sigset_t taken_, outer_;
  struct sigaction outer_child_ {};
};

struct CaseEnd {
  int exit_code = 0;  // 128 + signal when one ended it
  int signal = 0;     // that came to the sweep meanwhile; 0: none
  double seconds = 0;
  std::string error;  // from what it printed: its error, or its last line
};

// Runs the command with its output in the file `log`. SIGINT and SIGTERM reach it as SIGTERM, which is a
// clean save of a run; the second one ends it. It ends (SIGTERM) when this process dies. EnvironmentError
// when it cannot be started.
absl::StatusOr<CaseEnd> RunCase(const std::vector<std::string>& command, const std::string& log,
                                const SweepSignals& signals);

// The error in a program's output: from the last line that begins with "error: " to the end, else the last
// line that is not blank.
std::string LastError(const std::string& output);

// Whether another start may heal what ended with this code: 1, 4, a signal.
bool WorthAnotherStart(int exit_code);

// Held by one sweep of a folder at a time; freed at the end of the scope, and of the process.
class SweepLock {
 public:
  // ConfigurationError when another process holds it, EnvironmentError when it cannot be made.
  static absl::StatusOr<SweepLock> Take(const std::string& dir);
  SweepLock(SweepLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  SweepLock& operator=(SweepLock&&) = delete;
  ~SweepLock();

 private:
  explicit SweepLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace orthant
