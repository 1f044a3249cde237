// The text form of schedules, that of torch.distributed.pipelining: comma-separated cells, one row a rank, a
// cell being stage, kind and microbatch, as `0F0`, `1B3`, `2I0`, `2W0`, `0SEND_F0`, `1RECV_F0`, `0UNSHARD`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

// Kinds: F forward, B backward, I backward of the input, W of the weights; SEND_F/RECV_F activations,
// SEND_B/RECV_B gradients; UNSHARD, RESHARD, REDUCE_GRAD (no microbatch). Ends with a newline.
std::string FormatSchedule(const Schedule& schedule);

// Reads the form above. Empty cells are idle time and are skipped; blank lines at the end are ignored. Ranks
// are the rows; chunks and microbatches are the largest that occur. `name` is the schedule's, and names the
// source in messages. ConfigurationError with row, column, cell and what was expected. The order is not
// judged: validate it.
absl::StatusOr<Schedule> ParseSchedule(const std::string& text, const std::string& name);

}  // namespace orthant
