// Losses that are not finite or jump: how they are recognised, and what is done then. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "orthant/config/fields.h"

namespace orthant {

struct AnomalyConfig {
  std::string non_finite = "stop";  // stop | skip | rollback
  std::string spike = "none";       // none | stop | skip | rollback
  double spike_factor = 2.0;
  int64_t spike_window = 64;
  int64_t rollback_steps = 100;
  int64_t most = 10;
};

// The section `anomaly`.
void Describe(Fields& fields, AnomalyConfig& config);

enum class Anomaly { kNone, kNonFinite, kSpike };
// What is done about one.
enum class AnomalyAction { kNone, kStop, kSkip, kRollback };
AnomalyAction ActionFor(const AnomalyConfig& config, Anomaly anomaly);

// "loss nan", "loss 7.31, where the median of the steps before is 2.02"
std::string DescribeAnomaly(Anomaly anomaly, double loss, double usual_loss);

// Compares each loss with those before it. The same decisions on every rank, since losses are.
class SpikeDetector {
 public:
  // Of no use before `spike_window` losses have been kept.
  explicit SpikeDetector(const AnomalyConfig& config) : config_(config) {}

  // Whether `loss` exceeds spike_factor times the median of the window. Changes nothing.
  bool IsSpike(double loss) const;
  // Of the window; 0 when it is empty.
  double Median() const;
  // Remembers the loss of a step that was applied.
  void Keep(double loss);

  // For checkpoints: oldest first.
  std::vector<double> state() const { return {recent_.begin(), recent_.end()}; }
  void Restore(const std::vector<double>& state) { recent_.assign(state.begin(), state.end()); }

 private:
  AnomalyConfig config_;
  std::deque<double> recent_;
};

// Global batches that were read and left out, or never read, since the run began.
struct SkippedBatches {
  int64_t step = 0;  // at which it was decided
  int64_t first =
      0;  // batch, counted from 0; samples are entries first * global_batch and on of the sequence
  int64_t count = 0;
  std::string reason;        // "loss nan", "loss 7.31 after a median of 2.02"
  bool rolled_back = false;  // the data went on behind them, from an earlier step
  friend bool operator==(const SkippedBatches&, const SkippedBatches&) = default;
};

}  // namespace orthant
