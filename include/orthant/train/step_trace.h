// StepTrace: what one rank did in one step, with times: its activities, the schedule's actions, every
// communication. Nothing of it exists in a step that is not traced.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "orthant/comm/flight_recorder.h"
#include "orthant/pipeline_parallel/executor.h"

namespace orthant {

// A stretch of the rank's own thread.
struct TraceSpan {
  const char* name = "";  // a literal: "forward", "gradient reduction"
  int chunk = -1;         // of an action; -1: none
  int microbatch = -1;
  FlightRecorder::Clock::time_point begin{}, end{};
};

// An operation that has ended.
struct TracedOperation {
  FlightEntry entry;
  std::string group;                         // "tensor"
  bool blocking = true;                      // the rank's thread was in it from the beginning
  FlightRecorder::Clock::time_point over{};  // when it was, as far as that is known
  // Seconds that the rank's thread spent in it or waited for it, and that it was under way while the thread
  // did something else.
  double exposed = 0, hidden = 0;
};

// Of the recorder's entry; `group`: its name.
TracedOperation TracedOperationOf(const FlightEntry& entry, const std::string& group);

// The rank's own thread. Reads the flight recorder, which keeps the newest 1,024 operations, often enough
// that one action may make that many.
class StepTrace {
 public:
  // Begins at once. `recorder` is the rank's and outlives this.
  StepTrace(FlightRecorder& recorder, int64_t step);
  ~StepTrace();
  StepTrace(const StepTrace&) = delete;
  StepTrace& operator=(const StepTrace&) = delete;

  // The rank now does `activity`, a literal: ends the one before.
  void Enter(const char* activity);
  // An action has run since `begin`.
  void Acted(const char* name, int chunk, int microbatch, FlightRecorder::Clock::time_point begin);
  // Ends the step; nothing is added afterwards.
  void End();

  int64_t step() const { return step_; }
  const std::vector<TraceSpan>& activities() const { return activities_; }
  const std::vector<TraceSpan>& actions() const { return actions_; }
  const std::vector<TracedOperation>& operations() const { return operations_; }
  int64_t lost() const { return lost_; }  // operations that were overwritten before they were read

 private:
  void Drain();

  FlightRecorder& recorder_;
  int64_t step_;
  uint64_t next_;                  // ticket of the first entry not looked at
  std::vector<uint64_t> pending_;  // tickets of operations under way
  std::vector<TraceSpan> activities_, actions_;
  std::vector<TracedOperation> operations_;
  int64_t lost_ = 0;
};

// A program whose actions are written down. Both outlive it.
class TracedProgram : public StageProgram {
 public:
  TracedProgram(StageProgram& program, StepTrace& trace) : program_(program), trace_(trace) {}

  at::Tensor Forward(int chunk, int microbatch, const at::Tensor& input) override;
  at::Tensor Backward(int chunk, int microbatch, const at::Tensor& grad_output) override;
  at::Tensor NewActivation(int chunk, int microbatch) override;
  bool Supports(ActionKind kind) const override { return program_.Supports(kind); }
  at::Tensor BackwardInput(int chunk, int microbatch, const at::Tensor& grad_output) override;
  void BackwardWeight(int chunk, int microbatch) override;
  void GatherParams(int chunk) override;
  void ReleaseParams(int chunk) override;
  void ReduceGrads(int chunk) override;

 private:
  StageProgram& program_;
  StepTrace& trace_;
};

}  // namespace orthant
