#include "orthant/train/anomaly.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace orthant {

void Describe(Fields& f, AnomalyConfig& c) {
  f.Choice("non_finite", &c.non_finite, {"stop", "skip", "rollback"})
      .Doc(
          "When loss or gradients are not finite: stop with exit code 6; skip (nothing is updated, training "
          "goes "
          "on); or rollback (go back to a checkpoint and leave out the data since). fp16 lowers its loss "
          "scale "
          "first.");
  f.Choice("spike", &c.spike, {"none", "stop", "skip", "rollback"})
      .Doc("When the loss jumps: nothing, or as for non_finite, before the update is made.");
  f.Real("spike_factor", &c.spike_factor)
      .Above(1)
      .Doc("A jump is a loss above this many times the median of the window.");
  f.Integer("spike_window", &c.spike_window)
      .AtLeast(2)
      .Unit("steps")
      .Doc("Losses that the median is taken of; no jump is seen before there are as many.");
  f.Integer("rollback_steps", &c.rollback_steps)
      .AtLeast(1)
      .Unit("steps")
      .Doc("Rollback goes to the newest checkpoint at least this far back.");
  f.Integer("most", &c.most)
      .AtLeast(1)
      .Doc("Skips and rollbacks of one run; one more stops it with exit code 6.");
}

AnomalyAction ActionFor(const AnomalyConfig& config, Anomaly anomaly) {
  if (anomaly == Anomaly::kNone) return AnomalyAction::kNone;
  const std::string& action = anomaly == Anomaly::kNonFinite ? config.non_finite : config.spike;
  return action == "skip"       ? AnomalyAction::kSkip
         : action == "rollback" ? AnomalyAction::kRollback
         : action == "stop"     ? AnomalyAction::kStop
                                : AnomalyAction::kNone;
}

std::string DescribeAnomaly(Anomaly anomaly, double loss, double usual_loss) {
  if (anomaly != Anomaly::kSpike) return absl::StrCat("loss ", loss, " or gradients that are not finite");
  return absl::StrCat("loss ", loss, ", where the median of the steps before is ", usual_loss);
}

double SpikeDetector::Median() const {
  if (recent_.empty()) return 0.0;
  std::vector<double> sorted(recent_.begin(), recent_.end());
  const auto middle = sorted.begin() + static_cast<int64_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

bool SpikeDetector::IsSpike(double loss) const {
  if (config_.spike == "none" || static_cast<int64_t>(recent_.size()) < config_.spike_window) return false;
  return loss > config_.spike_factor * Median();
}

void SpikeDetector::Keep(double loss) {
  if (config_.spike == "none") return;
  recent_.push_back(loss);
  if (static_cast<int64_t>(recent_.size()) > config_.spike_window) recent_.pop_front();
}

}  // namespace orthant
