// PipelineView: one step's pipeline as it was measured, and as the simulation predicts it from the run's own
// mean times of an action.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "orthant/report/run_data.h"
#include "orthant/report/span_chart.h"

namespace orthant {

// Seconds. Busy: the share of its stage's time that a rank computes, by stage.
struct PipelineTimeline {
  std::vector<Span> spans;  // a row a stage
  double makespan = 0;      // from the first action's beginning to the last's end
  std::vector<double> busy;
};

struct PipelineView {
  int stages = 1;
  int64_t microbatches = 1;
  std::string schedule;                                 // "1f1b"
  std::string source;                                   // where the times of an action come from, in words
  std::vector<int> ranks;                               // of the pipeline that is shown, by stage: rank 0's
  std::vector<double> forward, backward;                // mean seconds of a microbatch, by stage
  std::vector<double> backward_input, backward_weight;  // of a split backward's parts; 0: not split
  std::optional<PipelineTimeline> measured;
  int64_t step = 0;  // that was measured
  std::optional<PipelineTimeline> predicted;
  std::vector<std::string> notes;  // why a part is missing
};

// None where the run has no mesh. Without a trace the times are those of rank 0 in metrics.jsonl, for every
// stage.
std::optional<PipelineView> ViewPipeline(const RunData& run);

// `what`: "measured" or "predicted". Both charts of a view have one axis of time.
SpanChart TimelineChart(const PipelineView& view, const PipelineTimeline& timeline, const std::string& what);

}  // namespace orthant
