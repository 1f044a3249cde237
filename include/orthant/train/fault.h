// Faults to rehearse: a rank that dies, stops, throws, is slow, or communicates otherwise than the others, at
// a chosen moment. For the tests of this project, and for whoever wants to see what a cluster's run would do.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/comm/communicator.h"
#include "orthant/config/fields.h"

namespace orthant {

struct FaultConfig {
  std::vector<std::string> inject;
};

// The section `fault`.
void Describe(Fields& fields, FaultConfig& config);

enum class FaultKind {
  kKill,    // SIGKILL of the rank's process
  kStop,    // SIGSTOP of it
  kThrow,   // an exception
  kSleep,   // `seconds` of doing nothing
  kSkip,    // the next operation is left out
  kDouble,  // ... is done twice
  kShape,   // ... has half as many elements
  kDtype,   // ... has another type
  kNan,     // the rank's part of the loss is not a number
  kSpike,   // ... is 1,000 times as large
  kDrift,   // a value of a parameter changes on this rank alone
};

// Moments of a step, and of what surrounds it.
enum class FaultPhase { kStart, kData, kForward, kBackward, kReduce, kOptimizer, kEvaluate, kSave, kLoad };

// "kill rank=1 step=4 phase=backward attempt=0 seconds=3 at=0.3"
struct Fault {
  FaultKind kind = FaultKind::kKill;
  int64_t rank = 0;
  int64_t step = 1;
  FaultPhase phase = FaultPhase::kForward;
  int64_t attempt = 0;  // of a supervised run: acts in that one alone
  double seconds = 0.0;
  double at = 0.0;  // kSave: when this share of the rank's bytes has been written
};

// Which attempt of a supervised run this process belongs to: ORTHANT_ATTEMPT, 0 without a supervisor.
int64_t AttemptNumber();

// ConfigurationError naming the word that is not understood and what is.
absl::StatusOr<Fault> ParseFault(std::string_view text);

// One rank's faults. At is called by the rank's thread; OnWrite by the thread that writes a checkpoint.
class FaultInjector : public OperationFilter {
 public:
  // The faults of `config` (valid) that concern this rank and this attempt (ORTHANT_ATTEMPT, default 0).
  FaultInjector(const FaultConfig& config, int64_t rank);

  bool empty() const { return faults_.empty() && write_faults_.empty(); }
  void EnterStep(int64_t step) { step_ = step; }
  // Does what is to happen now; each fault happens once.
  void At(FaultPhase phase);
  // Before and while a checkpoint of this step is written.
  void EnterSave(int64_t step) { save_step_ = step; }
  void OnWrite(int64_t written, int64_t total);
  // What the rank's part of the loss becomes.
  double Loss(double part);
  // Whether a value is to drift now.
  bool Drifts();

  Action Before(Operation* op) override;

 private:
  struct Planned {
    Fault fault;
    bool happened = false;
  };
  static void Happen(const Fault& fault);

  std::vector<Planned> faults_;
  std::vector<Planned> write_faults_;  // the writing thread's alone
  int64_t step_ = 0;
  std::atomic<int64_t> save_step_ = -1;
  std::optional<FaultKind> next_operation_, loss_;
  bool drift_ = false;
};

}  // namespace orthant
