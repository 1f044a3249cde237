#include "orthant/train/step_trace.h"

#include <algorithm>

#include "ATen/ATen.h"

namespace orthant {
namespace {

using Clock = FlightRecorder::Clock;

double Seconds(Clock::duration duration) {
  return std::max(0.0, std::chrono::duration<double>(duration).count());
}

bool Over(const FlightEntry& entry) {
  return entry.state == FlightState::kDone || entry.state == FlightState::kFailed;
}

}  // namespace

TracedOperation TracedOperationOf(const FlightEntry& entry, const std::string& group) {
  TracedOperation operation{entry, group};
  operation.blocking = entry.started == entry.queued;
  operation.over = entry.ended;
  if (operation.blocking) {
    operation.exposed = Seconds(entry.ended - entry.queued);
    return operation;
  }
  if (entry.over != Clock::time_point{}) operation.over = std::clamp(entry.over, entry.queued, entry.ended);
  const bool waited = entry.waited != Clock::time_point{};
  operation.exposed = waited ? Seconds(entry.ended - entry.waited) : 0.0;
  operation.hidden =
      Seconds((waited ? std::min(entry.waited, operation.over) : operation.over) - entry.queued);
  return operation;
}

StepTrace::StepTrace(FlightRecorder& recorder, int64_t step)
    : recorder_(recorder), step_(step), next_(recorder.next_ticket()) {
  recorder_.TimeWaits(true);
}

StepTrace::~StepTrace() {
  recorder_.TimeWaits(false);
}

void StepTrace::Enter(const char* activity) {
  const Clock::time_point now = Clock::now();
  if (!activities_.empty() && activities_.back().end == Clock::time_point{}) activities_.back().end = now;
  Drain();
  activities_.push_back({activity, -1, -1, Clock::now(), {}});
}

void StepTrace::Acted(const char* name, int chunk, int microbatch, Clock::time_point begin) {
  actions_.push_back({name, chunk, microbatch, begin, Clock::now()});
  Drain();
}

void StepTrace::End() {
  const Clock::time_point now = Clock::now();
  if (!activities_.empty() && activities_.back().end == Clock::time_point{}) activities_.back().end = now;
  Drain();
  recorder_.TimeWaits(false);
}

void StepTrace::Drain() {
  const uint64_t from = pending_.empty() ? next_ : std::min(next_, pending_.front());
  const std::vector<FlightEntry> entries = recorder_.EntriesFrom(from);
  const std::vector<FlightGroup> groups = recorder_.Groups();
  std::vector<uint64_t> pending;
  int64_t expected = static_cast<int64_t>(pending_.size()), seen = 0;
  const uint64_t end = entries.empty() ? next_ : entries.back().ticket + 1;
  expected += static_cast<int64_t>(end - next_);
  for (const FlightEntry& entry : entries) {
    const bool waiting = std::binary_search(pending_.begin(), pending_.end(), entry.ticket);
    if (entry.ticket < next_ && !waiting) continue;  // told before
    ++seen;
    if (!Over(entry)) {
      pending.push_back(entry.ticket);
      continue;
    }
    const auto group = static_cast<size_t>(entry.group);
    operations_.push_back(TracedOperationOf(entry, group < groups.size() ? groups[group].name : "?"));
  }
  lost_ += expected - seen;
  next_ = end;
  pending_ = std::move(pending);
}

at::Tensor TracedProgram::Forward(int chunk, int microbatch, const at::Tensor& input) {
  const Clock::time_point begin = Clock::now();
  at::Tensor output = program_.Forward(chunk, microbatch, input);
  trace_.Acted("forward", chunk, microbatch, begin);
  return output;
}

at::Tensor TracedProgram::Backward(int chunk, int microbatch, const at::Tensor& grad_output) {
  const Clock::time_point begin = Clock::now();
  at::Tensor grad_input = program_.Backward(chunk, microbatch, grad_output);
  trace_.Acted("backward", chunk, microbatch, begin);
  return grad_input;
}

at::Tensor TracedProgram::NewActivation(int chunk, int microbatch) {
  return program_.NewActivation(chunk, microbatch);
}

at::Tensor TracedProgram::BackwardInput(int chunk, int microbatch, const at::Tensor& grad_output) {
  const Clock::time_point begin = Clock::now();
  at::Tensor grad_input = program_.BackwardInput(chunk, microbatch, grad_output);
  trace_.Acted("backward input", chunk, microbatch, begin);
  return grad_input;
}

void TracedProgram::BackwardWeight(int chunk, int microbatch) {
  const Clock::time_point begin = Clock::now();
  program_.BackwardWeight(chunk, microbatch);
  trace_.Acted("backward weight", chunk, microbatch, begin);
}

void TracedProgram::GatherParams(int chunk) {
  const Clock::time_point begin = Clock::now();
  program_.GatherParams(chunk);
  trace_.Acted("gather parameters", chunk, -1, begin);
}

void TracedProgram::ReleaseParams(int chunk) {
  program_.ReleaseParams(chunk);
}

void TracedProgram::ReduceGrads(int chunk) {
  const Clock::time_point begin = Clock::now();
  program_.ReduceGrads(chunk);
  trace_.Acted("reduce gradients", chunk, -1, begin);
}

}  // namespace orthant
