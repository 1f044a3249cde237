// A batch queue's limits, as a cluster file states them, and times as schedulers write them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace orthant {

struct QueueLimit {
  std::string name;
  int64_t least_nodes = 1, most_nodes = 0;  // 0: any number
  int64_t most_seconds = 0;                 // 0: any time
};

// "debug nodes=1-2 time=1:00:00"; nodes may be one number, both parts may be left out. ConfigurationError.
absl::StatusOr<QueueLimit> ParseQueueLimit(absl::string_view text);

// "30" (minutes), "10:00" (minutes and seconds), "1:30:00", "2-00:00:00" (days): as sbatch reads them, ->
// seconds.
absl::StatusOr<int64_t> ParseWallTime(absl::string_view text);
// "01:30:00", hours as many as there are: sbatch and qsub both read it.
std::string FormatWallTime(int64_t seconds);

// Whether the queue takes such a job; `limits` that do not name it say nothing. `queue` "": any of them must
// take it.
absl::Status CheckQueue(const std::vector<std::string>& limits, const std::string& queue, int64_t nodes,
                        int64_t seconds);

}  // namespace orthant
