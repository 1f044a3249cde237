// TrainLoop: the steps of a run on one rank, and all that happens between them: evaluation, samples, saves,
// checks, anomalies, stops.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "orthant/checkpoint/saver.h"
#include "orthant/train/engine.h"
#include "orthant/train/fault.h"
#include "orthant/train/reporter.h"
#include "orthant/train/resume.h"
#include "orthant/train/trace_file.h"
#include "orthant/train/trainer.h"

namespace orthant {

// One rank's thread. What it is given outlives it.
class TrainLoop {
 public:
  // `reporter` on rank 0 alone; `faults` may be null. Computes on `device`. Collective over `world`.
  TrainLoop(const PreparedRun& run, Communicator& world, c10::Device device, Reporter* reporter,
            FaultInjector* faults);

  // From where the run goes on to its end. Collective. Statuses are the same on every rank, but where a disk
  // failed one of them; exit code 7 after a stop by signal.
  absl::Status Run();

 private:
  absl::Status Begin();
  absl::Status Step();
  absl::Status AfterStep(const StepResult& result);
  absl::Status End();

  absl::Status Stop(const StepResult& result);
  absl::Status Skip(const StepResult& result);
  absl::Status GoBack(const StepResult& result);
  absl::Status TooMany(const StepResult& result) const;

  StepVotes Votes() const;
  bool SaveDue(const StepResult& result) const;
  void Save();
  // The save under way, once every rank has done its part.
  void Follow(const StepVotes& votes);
  absl::Status LastSave();
  void Told(const std::optional<SaveResult>& result);

  std::pair<double, double> Evaluate();
  absl::Status Sample(int64_t step);
  absl::Status CheckReplicas(int64_t step);
  absl::Status WriteSkipped();
  std::array<int64_t, kAxisCount> BytesOfStep();
  nlohmann::ordered_json Facts() const;
  void At(FaultPhase phase, const char* activity);

  const PreparedRun& run_;
  Communicator& world_;
  Reporter* reporter_;
  FaultInjector* faults_;
  Engine engine_;
  Saver saver_;
  Timelines timelines_;
  std::array<int64_t, kAxisCount> bytes_{};  // sent before this step
  int64_t last_step_;                        // of this start
  int64_t saved_step_ = -1;                  // the newest that is on disk or on its way
  int64_t steps_done_ = 0;                   // in this start
  double stop_votes_ = 0;                    // > 0: a signal asks for the end
  std::chrono::steady_clock::time_point saved_at_ = std::chrono::steady_clock::now();
};

}  // namespace orthant
