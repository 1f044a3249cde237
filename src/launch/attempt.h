// One attempt of a supervised command: a process in a group of its own that ends when the supervisor does, to
// which signals are passed on, and of which nothing runs any more afterwards.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launch/output_reader.h"

namespace orthant {

// Takes SIGTERM, SIGINT, SIGUSR1 and SIGCHLD in turn instead of having them delivered, and adopts what dying
// children leave behind, until the end of the scope. For a process whose other threads, if any, block these
// signals, and which has no other children.
class SupervisedSignals {
 public:
  SupervisedSignals();
  ~SupervisedSignals();  // what came and was not taken is dropped: the end that it asked for has come
  SupervisedSignals(const SupervisedSignals&) = delete;
  SupervisedSignals& operator=(const SupervisedSignals&) = delete;

  // The next signal within so many seconds; 0: none came.
  int Wait(double seconds) const;
  // What a child must start with.
  const sigset_t& outer_mask() const { return outer_mask_; }

 private:
  sigset_t taken_, outer_mask_;
  struct sigaction outer_child_action_ {};
  int outer_subreaper_ = 0;
};

struct AttemptOptions {
  std::vector<std::string> command;      // looked for on PATH
  std::vector<std::string> environment;  // NAME=VALUE, on top of this process's own
  int stop_signal = 0;                   // passed on in place of SIGTERM; 0: SIGTERM itself
  double grace_seconds = 30.0;
  OutputFunction output;  // gets the command's lines; null: it writes where this process does
  // After so many seconds without a line of output (where `output` gets them) and without a change of
  // `growth` the command is asked to save (SIGUSR1), and ended; 0: never.
  double idle_seconds = 0.0;
  std::function<int64_t()> growth;
};

struct AttemptEnd {
  int exit_code = 0;           // 128 + signal when one ended the child
  int ended_by = 0;            // that signal
  int passed_on = 0;           // the first signal that came to the supervisor meanwhile; 0: none
  int left = 0;                // processes that the child left running, and that were ended
  bool still_running = false;  // some of them could not be ended
  bool idle = false;           // it was ended because it did nothing
};

// Runs the command to its end. One that is idle gets SIGUSR1, its group SIGTERM after the grace period and
// SIGKILL 5 s later. A signal goes to the child; when it has not ended after the grace period, to its whole
// group; the third SIGINT kills the group. After an end that is not 0, what the child left running gets
// SIGTERM and 5 s later SIGKILL, or the signal that was passed on and SIGKILL after the grace period.
// Standard input is empty. EnvironmentError when the command cannot be started.
absl::StatusOr<AttemptEnd> RunAttempt(const AttemptOptions& options, const SupervisedSignals& signals);

// "SIGKILL", "signal 42"
std::string SignalName(int signal);
// "exit code 4 (communication)", "SIGKILL", "exit code 137 (SIGKILL in a process below it)"
std::string EndInWords(const AttemptEnd& end);

}  // namespace orthant
