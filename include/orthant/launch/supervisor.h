// Supervisor: runs a training command and starts it again after a failure that a new start can heal, from the
// last whole checkpoint; what `orthant launch --restarts` does.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace orthant {

// What the supervisor can see of a run's progress between two attempts.
struct RunProgress {
  int64_t last_step = 0;         // of metrics.jsonl
  int64_t checkpoint_step = -1;  // that the next attempt goes on from; -1: none
  std::string verdict;           // of the failure, from RUN_DIR/flight; "" when there is none
};

struct SupervisorOptions {
  std::vector<std::string> command;  // run as it stands, looked for on PATH
  int restarts = 0;                  // at most
  double backoff_seconds = 1.0;      // before the first restart; doubles each time
  double most_backoff_seconds = 60.0;
  // The state of the run's folder; null: unknown, so every attempt counts as progress.
  std::function<RunProgress()> progress;
  // The command of the next attempt after one that failed without progress: fewer ranks. Empty: no smaller
  // one. Null: never.
  std::function<std::vector<std::string>(const std::vector<std::string>& command)> shrink;
  // The command of the next attempt where it must be another one: a host is lost. Empty: the same. Asked
  // before each restart, ahead of `shrink`. Null: never.
  std::function<std::vector<std::string>(const std::vector<std::string>& command)> replan;
  std::function<void(const std::string& line)> log;  // a line for the user; never null
  // Gets each line that the command writes to `stream` (1: stdout, 2: stderr), on a thread of its own; null:
  // the command writes where this process does.
  std::function<void(int stream, absl::string_view line)> output;
  // An attempt that for so many seconds writes no line (where `output` gets them) and does not change
  // `growth` gets SIGUSR1, which is a clean save, and is ended; 0: never.
  double idle_seconds = 0.0;
  std::function<int64_t()> growth;  // of the run's files, in whatever unit; null: its output alone counts
  std::vector<std::string> environment;  // NAME=VALUE, for the command
  // Passed on in place of SIGTERM, for a launcher that leaves its ranks no time after one; 0: SIGTERM itself.
  int stop_signal = 0;
  // From a signal that was passed on until all processes of the command get it.
  double grace_seconds = 30.0;
};

// Whether a new start may heal what ended with this code: communication (4), a signal (128 + n), a bug (1).
// Not: done, configuration, environment, data, numerical, stopped after a clean save.
bool Restartable(int exit_code);

// Runs the command until it ends well, cannot be healed, has been restarted often enough, or has failed twice
// at the same step. SIGTERM, SIGINT and SIGUSR1 are passed on to it, and end the supervision; the third
// SIGINT kills. Each attempt finds its number, from 0, in ORTHANT_ATTEMPT; before the next one nothing of it
// is left running. -> exit code of the last attempt, as the shell would see it (4 where ranks died and a
// verdict tells so, and where it was idle); EnvironmentError when the command cannot be started. Called where
// no other thread takes these signals, by a process that has no other children; the command ends (SIGTERM)
// when the calling thread does.
absl::StatusOr<int> Supervise(const SupervisorOptions& options);

}  // namespace orthant
