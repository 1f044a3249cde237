#include "orthant/pipeline_parallel/generators.h"

#include <algorithm>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/status.h"
#include "orthant/pipeline_parallel/lowering.h"
#include "orthant/pipeline_parallel/validation.h"

namespace orthant {
namespace {

struct Entry {
  const char* name;
  Generator generate;
};

// A new schedule: its file, and its line here.
constexpr Entry kSchedules[] = {
    {"gpipe", GenerateGpipe},
    {"1f1b", GenerateOneFOneB},
};

// Tables are indexed by int (stage x microbatch).
constexpr int64_t kMostPairs = int64_t{1} << 28;

absl::Status CheckShape(const ScheduleShape& shape) {
  if (shape.ranks < 1 || shape.microbatches < 1 || shape.chunks < 1) {
    return ConfigurationError(absl::StrCat("A pipeline of ", shape.ranks, " ranks with ", shape.chunks,
                                           " chunks each and ", shape.microbatches,
                                           " microbatches: every number must be at least 1."));
  }
  const double pairs = 1.0 * shape.ranks * shape.microbatches * shape.chunks;
  if (pairs > static_cast<double>(kMostPairs)) {
    return ConfigurationError(absl::StrCat(shape.ranks, " ranks x ", shape.chunks, " chunks x ",
                                           shape.microbatches, " microbatches are more than ", kMostPairs,
                                           " actions: too many."));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> ScheduleNames() {
  std::vector<std::string> names;
  for (const Entry& entry : kSchedules) names.push_back(entry.name);
  return names;
}

absl::StatusOr<Schedule> GenerateSchedule(const std::string& name, const ScheduleShape& shape) {
  if (absl::Status status = CheckShape(shape); !status.ok()) return status;
  for (const Entry& entry : kSchedules) {
    if (name != entry.name) continue;
    absl::StatusOr<Schedule> schedule = entry.generate(shape);
    if (schedule.ok()) schedule->name = name;
    return schedule;
  }
  return ConfigurationError(absl::StrCat("No pipeline schedule is called '", name, "'; there are ",
                                         absl::StrJoin(ScheduleNames(), ", "), "."));
}

absl::StatusOr<Schedule> MakeSchedule(const std::string& name, const ScheduleShape& shape) {
  const absl::StatusOr<Schedule> compute = GenerateSchedule(name, shape);
  if (!compute.ok()) return compute.status();
  if (absl::Status status = ValidateCompute(*compute); !status.ok()) return status;
  absl::StatusOr<Schedule> lowered = Lower(*compute);
  if (!lowered.ok()) return lowered.status();
  if (absl::Status status = ValidateLowered(*lowered); !status.ok()) return status;
  return lowered;
}

Schedule ForwardOnly(int ranks, int microbatches, int chunks) {
  const ScheduleShape shape{.ranks = ranks, .microbatches = microbatches, .chunks = chunks};
  if (absl::Status status = CheckShape(shape); !status.ok())
    throw std::invalid_argument(std::string(status.message()));
  Schedule schedule{.name = "forward_only", .ranks = ranks, .chunks = chunks, .microbatches = microbatches};
  schedule.forward_only = true;
  schedule.rows.resize(ranks);
  for (std::vector<Action>& row : schedule.rows) {
    // As many microbatches as ranks go through one chunk before the next chunk's turn: the first of them is
    // back at rank 0 just then, so nobody waits.
    for (int first = 0; first < microbatches; first += ranks) {
      const int end = std::min(first + ranks, microbatches);
      for (int chunk = 0; chunk < chunks; ++chunk) {
        for (int m = first; m < end; ++m) row.push_back({ActionKind::kForward, chunk, m});
      }
    }
  }
  absl::StatusOr<Schedule> lowered = Lower(schedule);
  if (!lowered.ok()) throw std::logic_error(std::string(lowered.status().message()));
  return *std::move(lowered);
}

}  // namespace orthant
