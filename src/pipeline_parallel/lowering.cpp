#include "orthant/pipeline_parallel/lowering.h"

#include "checks.h"
#include "timeline.h"

namespace orthant {
namespace {

// Writes the rows in the order of the global sequence.
class Writer : public TimelineObserver {
 public:
  Writer(const Schedule& compute, Schedule* lowered) : compute_(compute), lowered_(lowered) {}
  void OnStart(int rank, int index, double, double) override {
    lowered_->rows[rank].push_back(compute_.rows[rank][index]);
  }
  void OnTransfer(int rank, const Action& send) override {
    const Peer peer = PeerOf(compute_, rank, send);
    lowered_->rows[rank].push_back(send);
    lowered_->rows[peer.rank].push_back(peer.action);
  }

 private:
  const Schedule& compute_;
  Schedule* lowered_;
};

}  // namespace

absl::StatusOr<Schedule> Lower(const Schedule& compute, const ScheduleCosts& costs) {
  if (absl::Status status = CheckShape(compute); !status.ok()) return status;
  if (absl::Status status = CheckNoCommunication(compute); !status.ok()) return status;
  Schedule lowered = compute;
  for (std::vector<Action>& row : lowered.rows) row.clear();
  Writer writer(compute, &lowered);
  if (absl::Status status = PlayTimeline(compute, costs, writer); !status.ok()) return status;
  return lowered;
}

}  // namespace orthant
