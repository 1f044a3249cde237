#include "orthant/report/pipeline_view.h"

#include <algorithm>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/pipeline_parallel/simulation.h"
#include "orthant/report/scale.h"

namespace orthant {
namespace {

constexpr int64_t kMostActions = 4096;  // more cannot be told apart in a picture

struct Mean {
  double sum = 0;
  int64_t count = 0;
  void Add(double value) {
    sum += value;
    ++count;
  }
  double value() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
};

// A stage's backward: whole, or split into its input's and its weights' part.
struct BackwardMeans {
  Mean whole, input, weight;
  void Add(const std::string& action, double seconds) {
    if (action == "backward") whole.Add(seconds);
    if (action == "backward input") input.Add(seconds);
    if (action == "backward weight") weight.Add(seconds);
  }
  // Of a microbatch: both parts count together.
  double value() const {
    const int64_t count = whole.count + std::max(input.count, weight.count);
    return count == 0 ? 0 : (whole.sum + input.sum + weight.sum) / static_cast<double>(count);
  }
};

// "F3", "B0", "I2", "W2", as in the text form of schedules.
std::string Short(const std::string& action, int microbatch) {
  const char* const letter = action == "forward"           ? "F"
                             : action == "backward input"  ? "I"
                             : action == "backward weight" ? "W"
                             : action == "backward"        ? "B"
                                                           : "";
  return *letter == 0 ? "" : absl::StrCat(letter, microbatch);
}

const char* NameOf(ActionKind kind) {
  switch (kind) {
    case ActionKind::kForward:
      return "forward";
    case ActionKind::kBackward:
      return "backward";
    case ActionKind::kBackwardInput:
      return "backward input";
    case ActionKind::kBackwardWeight:
      return "backward weight";
    default:
      return "other";
  }
}

// The class of an action's box. A trace may hold any text, so it is none of its own.
std::string KindOf(const std::string& action) {
  return Short(action, 0).empty() ? "other" : absl::StrReplaceAll(action, {{" ", "-"}});
}

Span SpanOf(int row, const std::string& action, int microbatch, double begin, double end) {
  Span span{row, begin, end, Short(action, microbatch), "", KindOf(action)};
  span.tooltip = absl::StrFormat("stage %d: %s of microbatch %d, %s from %s on", row, action, microbatch,
                                 Show(end - begin, Quantity::kSeconds), Show(begin, Quantity::kSeconds));
  return span;
}

// Fills in makespan and the busy shares.
void Close(int stages, PipelineTimeline* timeline) {
  timeline->busy.assign(static_cast<size_t>(stages), 0);
  for (const Span& span : timeline->spans) {
    timeline->makespan = std::max(timeline->makespan, span.end);
    timeline->busy[static_cast<size_t>(span.row)] += span.end - span.begin;
  }
  for (double& share : timeline->busy) share = timeline->makespan > 0 ? share / timeline->makespan : 0;
}

// The newest step of the trace that has actions of every rank of the pipeline.
void Measure(const RunData& run, PipelineView* view) {
  std::map<int, int> stage_of;
  for (size_t s = 0; s < view->ranks.size(); ++s) stage_of[view->ranks[s]] = static_cast<int>(s);
  std::map<int64_t, std::map<int, int>> seen;  // step, stage: actions
  std::vector<Mean> forward(view->ranks.size());
  std::vector<BackwardMeans> backward(view->ranks.size());
  for (const TracedAction& a : run.trace.actions) {
    const auto stage = stage_of.find(a.rank);
    if (stage == stage_of.end()) continue;
    ++seen[a.step][stage->second];
    const auto s = static_cast<size_t>(stage->second);
    if (a.action == "forward") forward[s].Add(a.end - a.begin);
    backward[s].Add(a.action, a.end - a.begin);
  }
  int64_t step = -1;
  for (const auto& [of, stages] : seen) step = static_cast<int>(stages.size()) == view->stages ? of : step;
  if (step < 0) {
    view->notes.push_back(
        "No step was traced: log.trace.steps=[5, 6] measures the timeline of steps 5 and 6.");
    return;
  }
  PipelineTimeline timeline;
  double origin = std::numeric_limits<double>::infinity();
  for (const TracedAction& a : run.trace.actions) {
    if (a.step == step && stage_of.count(a.rank) == 1) origin = std::min(origin, a.begin);
  }
  for (const TracedAction& a : run.trace.actions) {
    if (a.step != step || stage_of.count(a.rank) == 0) continue;
    timeline.spans.push_back(
        SpanOf(stage_of[a.rank], a.action, a.microbatch, a.begin - origin, a.end - origin));
  }
  Close(view->stages, &timeline);
  view->measured = std::move(timeline);
  view->step = step;
  for (size_t s = 0; s < view->ranks.size(); ++s) {
    view->forward.push_back(forward[s].value());
    view->backward.push_back(backward[s].value());
    view->backward_input.push_back(backward[s].input.value());
    view->backward_weight.push_back(backward[s].weight.value());
  }
  view->source = "the mean times of the traced steps, by stage";
}

// From metrics.jsonl: rank 0's whole forward and backward, median over steps.
bool TimesOfRankZero(const RunData& run, PipelineView* view) {
  const std::optional<double> forward = run.metrics.Median("dtf"), backward = run.metrics.Median("dtb");
  if (!forward || !backward) return false;
  const auto count = static_cast<double>(view->microbatches);
  view->forward.assign(view->ranks.size(), *forward / count);
  view->backward.assign(view->ranks.size(), *backward / count);
  view->source = "rank 0's median times in metrics.jsonl, the same for every stage";
  return true;
}

double MeanOf(const std::vector<double>& stages) {
  Mean mean;
  for (const double value : stages) mean.Add(value);
  return mean.value();
}

// Mean times of an action over the stages; where no part of a backward was measured it is half of the whole.
ScheduleCosts CostsOf(const PipelineView& view) {
  ScheduleCosts costs;
  costs.forward = MeanOf(view.forward);
  costs.backward = MeanOf(view.backward);
  const double input = MeanOf(view.backward_input), weight = MeanOf(view.backward_weight);
  const bool split = input > 0 && weight > 0;
  costs.backward_input = split ? input : costs.backward / 2;
  costs.backward_weight = split ? weight : costs.backward / 2;
  return costs;
}

void Predict(PipelineView* view) {
  const absl::StatusOr<Schedule> schedule = GenerateSchedule(
      view->schedule, {.ranks = view->stages, .microbatches = static_cast<int>(view->microbatches)});
  if (!schedule.ok()) {
    view->notes.push_back(std::string(schedule.status().message()));
    return;
  }
  ScheduleCosts costs = CostsOf(*view);
  const double both = costs.forward + costs.backward;
  costs.stage_weight = [&, both](int stage) {
    const auto s = static_cast<size_t>(stage) % view->forward.size();
    return both > 0 ? (view->forward[s] + view->backward[s]) / both : 1.0;
  };
  const absl::StatusOr<std::vector<SimulatedAction>> actions = SimulateActions(*schedule, costs);
  if (!actions.ok()) {
    view->notes.push_back(std::string(actions.status().message()));
    return;
  }
  PipelineTimeline timeline;
  for (const SimulatedAction& a : *actions)
    timeline.spans.push_back(SpanOf(a.rank, NameOf(a.action.kind), a.action.microbatch, a.begin, a.end));
  Close(view->stages, &timeline);
  view->predicted = std::move(timeline);
}

}  // namespace

SpanChart TimelineChart(const PipelineView& view, const PipelineTimeline& timeline, const std::string& what) {
  SpanChart chart;
  chart.title =
      absl::StrCat("Pipeline, ", what, what == "measured" ? absl::StrCat(" in step ", view.step) : "");
  for (int stage = 0; stage < view.stages; ++stage) {
    chart.rows.push_back(absl::StrCat("stage ", stage, ", rank ", view.ranks[static_cast<size_t>(stage)]));
  }
  chart.spans = timeline.spans;
  for (const auto* each : {&view.measured, &view.predicted}) {
    if (each->has_value()) chart.seconds = std::max(chart.seconds, (*each)->makespan);
  }
  return chart;
}

std::optional<PipelineView> ViewPipeline(const RunData& run) {
  const std::optional<Mesh> mesh = run.TheMesh();
  if (!mesh) return std::nullopt;
  PipelineView view;
  view.stages = mesh->degrees().pipeline;
  view.schedule = run.Value("parallel.schedule");
  if (view.schedule.empty()) view.schedule = "1f1b";
  view.microbatches = run.LastStart() != nullptr ? run.LastStart()->microbatches : 0;
  if (view.microbatches <= 0) {
    const int64_t samples = run.Integer("train.micro_batch", 1) * mesh->degrees().data;
    view.microbatches = samples > 0 ? run.Integer("train.global_batch", 1) / samples : 1;
  }
  view.microbatches = std::max<int64_t>(view.microbatches, 1);
  view.ranks = mesh->GroupOf(0, {Axis::kPipeline}).ranks();
  if (view.stages * view.microbatches > kMostActions) {
    view.notes.push_back(absl::StrFormat("%d stages x %d microbatches are too many actions for a picture.",
                                         view.stages, view.microbatches));
    return view;
  }
  Measure(run, &view);
  if (!view.measured && !TimesOfRankZero(run, &view)) {
    view.notes.push_back("There are no times of an action yet, so nothing can be predicted.");
    return view;
  }
  Predict(&view);
  return view;
}

}  // namespace orthant
