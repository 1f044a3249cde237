#include "orthant/pipeline_parallel/validation.h"

#include "checks.h"
#include "timeline.h"

namespace orthant {
namespace {

class Silent : public TimelineObserver {
 public:
  void OnStart(int, int, double, double) override {}
  void OnTransfer(int, const Action&) override {}
};

}  // namespace

absl::Status ValidateCompute(const Schedule& schedule) {
  if (absl::Status status = CheckShape(schedule); !status.ok()) return status;
  if (absl::Status status = CheckNoCommunication(schedule); !status.ok()) return status;
  const absl::StatusOr<Positions> positions = Positions::Of(schedule);
  if (!positions.ok()) return positions.status();
  if (absl::Status status = CheckCompute(schedule, *positions); !status.ok()) return status;
  if (absl::Status status = CheckReductions(schedule); !status.ok()) return status;
  Silent silent;
  return PlayTimeline(schedule, {}, silent);
}

absl::Status ValidateLowered(const Schedule& schedule) {
  if (absl::Status status = CheckShape(schedule); !status.ok()) return status;
  const absl::StatusOr<Positions> positions = Positions::Of(schedule);
  if (!positions.ok()) return positions.status();
  if (absl::Status status = CheckCompute(schedule, *positions); !status.ok()) return status;
  if (absl::Status status = CheckReductions(schedule); !status.ok()) return status;
  if (absl::Status status = CheckTransfers(schedule, *positions); !status.ok()) return status;
  if (absl::Status status = CheckMatching(schedule); !status.ok()) return status;
  return CheckRendezvous(schedule);
}

}  // namespace orthant
