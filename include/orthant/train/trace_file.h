// Timelines: the ranks' traced steps, on one clock, in one Chrome-trace file that Perfetto opens
// (ui.perfetto.dev). The format: "Trace Event Format", Google, 2016; only metadata and complete events.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "orthant/comm/communicator.h"
#include "orthant/mesh/mesh.h"
#include "orthant/train/run_config.h"
#include "orthant/train/step_trace.h"

namespace orthant {

// How far this rank's clock is ahead of rank 0's, measured with pings over `world`: the quickest of several
// counts (Cristian 1989). A difference that the ping's own time can explain is none: ranks of one host share
// a clock. `round_trip`: nanoseconds of that ping. Collective.
struct ClockOffset {
  int64_t ahead = 0, round_trip = 0;  // nanoseconds
};
ClockOffset MeasureClock(Communicator& world);
// From one ping's three times, in nanoseconds: sent and answered here, read there.
ClockOffset OffsetOf(int64_t sent, int64_t theirs, int64_t answered);

// The events of one rank's step, one a line, each followed by ",\n". `place` names the rank.
std::string TraceEvents(const StepTrace& trace, int rank, const ClockOffset& clock);
// Names and order of a rank's rows.
std::string TraceRows(const StepTrace& trace, int rank, const std::string& place, const ClockOffset& clock);

// Which steps of a run are traced, and the files: RUN_DIR/trace/step_00000005.json. Consecutive steps share a
// file, called after the first. One rank's thread.
class Timelines {
 public:
  // `mesh` and `world` outlive this.
  Timelines(const RunConfig& config, const Mesh& mesh, Communicator& world);

  // The trace of `step`, which begins now; null when it is not traced.
  StepTrace* Begin(int64_t step);
  // Ends the step that was begun, if one was, and brings the ranks' parts together; rank 0 writes the file
  // and returns what became of it. Collective.
  absl::Status End();

 private:
  std::vector<int64_t> steps_;
  std::string folder_;
  const Mesh& mesh_;
  Communicator& world_;
  std::unique_ptr<StepTrace> trace_;
  // Of the file under way, on rank 0.
  int64_t first_step_ = 0, last_step_ = -1;
  std::string events_;
};

}  // namespace orthant
