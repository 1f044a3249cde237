// Runs another program by an argument vector (no shell: nothing is quoted or expanded) and waits for it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace orthant {

struct SubprocessOptions {
  std::string folder;                   // working folder; empty: this process's own
  bool capture = true;                  // false: the program writes to this process's stdout and stderr
  size_t tail_bytes = size_t{1} << 16;  // captured output beyond this is dropped from its beginning
  double seconds = 0;                   // a captured program that takes longer is killed; 0: no limit
};

struct SubprocessResult {
  int exit_code = 0;      // 128 + signal when a signal ended it
  std::string output;     // the tail of stdout and stderr together
  bool too_long = false;  // it was killed for the time it took
};

// arguments[0] is looked for on PATH. EnvironmentError when the program is missing or cannot be started; a
// program that ran and failed is a result, not an error. Standard input is empty. Thread-safe.
absl::StatusOr<SubprocessResult> RunProgram(const std::vector<std::string>& arguments,
                                            const SubprocessOptions& options = {});

}  // namespace orthant
