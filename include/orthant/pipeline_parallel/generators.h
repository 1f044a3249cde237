// The schedules by name. A new one is one file that defines a Generator and one line in the table of
// src/pipeline_parallel/generators.cpp. Generators emit compute only; MakeSchedule lowers and proves what
// they emit.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

struct ScheduleShape {
  int ranks = 1;
  int microbatches = 1;
  int chunks = 1;  // stages per rank
};

// Compute actions of every rank; ConfigurationError where the schedule does not exist for this shape (every
// number is at least 1 by then).
using Generator = absl::StatusOr<Schedule> (*)(const ScheduleShape& shape);

// The names that GenerateSchedule knows, in the table's order.
std::vector<std::string> ScheduleNames();

// What the generator of that name emits: compute alone.
absl::StatusOr<Schedule> GenerateSchedule(const std::string& name, const ScheduleShape& shape);

// Generated, lowered and validated: ready to run.
absl::StatusOr<Schedule> MakeSchedule(const std::string& name, const ScheduleShape& shape);

// Evaluation: each microbatch once through all stages, lowered. Every number >= 1, else
// std::invalid_argument.
Schedule ForwardOnly(int ranks, int microbatches, int chunks = 1);

// The generators, one file each.
absl::StatusOr<Schedule> GenerateGpipe(const ScheduleShape& shape);     // schedule_gpipe.cpp
absl::StatusOr<Schedule> GenerateOneFOneB(const ScheduleShape& shape);  // schedule_1f1b.cpp

}  // namespace orthant
