// DIR/sweep.json: what became of each case of a sweep. Written whole after every change, read by the next
// start and by `orthant report`.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "orthant/sweep/sweep_file.h"

namespace orthant {

enum class CaseState {
  kWaiting,
  kIllegal,      // its configuration breaks a rule: skipped
  kRunning,      // under way; found by a later start: that sweep was killed
  kSubmitted,    // a job is queued or runs
  kInterrupted,  // stopped by a signal: goes on at the next start
  kFailed,
  kDone,
};
const char* ToString(CaseState state);  // "waiting", "illegal", ...

struct CaseRecord {
  SweepCase what;
  CaseState state = CaseState::kWaiting;
  int exit_code = 0;
  int starts = 0;
  double seconds = 0;            // of all its starts
  std::string error;             // its last error, a line or more
  std::string job;               // backend submit: the job's number
  int earlier_starts = 0;        // backend submit: of the run, on record when the job was submitted
  std::string configuration;     // hash of the resolved configuration, hexadecimal; "" where it is illegal
  double predicted_seconds = 0;  // of a step, by the planner; 0: no prediction
  double predicted_bytes = 0;    // of the rank that holds most
};

struct SweepState {
  std::string name, run, scaling, backend;
  std::vector<CaseRecord> cases;

  int Count(CaseState state) const;
};

std::string SweepStatePath(const std::string& dir);  // DIR/sweep.json
// DataError when it is missing, cut short or of another form.
absl::StatusOr<SweepState> ReadSweepState(const std::string& dir);
// Atomically. EnvironmentError when it cannot be written.
absl::Status WriteSweepState(const std::string& dir, const SweepState& state);
nlohmann::ordered_json ToJson(const SweepState& state);
// The file's text. What a case printed need not be UTF-8: what is not is replaced.
std::string SweepStateText(const SweepState& state);

// What an earlier start recorded, put into `now`, whose cases stand as waiting. Illegal cases keep today's
// judgement, running ones become interrupted. ConfigurationError, with every difference, where `earlier` is
// of another sweep: another name, run (however its path is spelled) or scaling, a case of which `now` knows
// nothing, or a case that has begun with another configuration. New cases are no difference: a sweep may
// grow.
absl::Status TakeOver(const SweepState& earlier, const std::string& dir, SweepState* now);

// A table for people, and one line of counts.
std::string SweepTable(const SweepState& state, bool boxes);

}  // namespace orthant
