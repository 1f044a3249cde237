// A case as a process: its command line, its start and its end, and a sweep's signals.
#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/sweep/sweep_file.h"

namespace orthant {

// DIR/NAME, the run's folder.
std::string FolderOf(const SweepSettings& settings, const SweepCase& one);
// What the run's file is changed by, "key=value": the case's own, and its name and folder.
std::vector<std::string> OverridesOf(const SweepSettings& settings, const SweepCase& one);
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
  size_t begins = 0;  // byte of the log where its output begins
};

enum class LogUse {
  kReplace,  // the log is of this start alone
  kAppend,   // behind what is there, under a heading: the time and the command
};

// Runs the command with its output in the file `log`. SIGINT and SIGTERM reach it as SIGTERM, which is a
// clean save of a run; the second one ends it. It ends (SIGTERM) when this process dies. EnvironmentError
// when it cannot be started.
absl::StatusOr<CaseEnd> RunCase(const std::vector<std::string>& command, const std::string& log,
                                const SweepSignals& signals, LogUse use = LogUse::kReplace);

// The error in a program's output: from the last line that begins with "error: " to the end, else the last
// line that is not blank.
std::string LastError(const std::string& output);

// Whether another start may heal what ended with this code: 1, 4, a signal.
bool WorthAnotherStart(int exit_code);

}  // namespace orthant
