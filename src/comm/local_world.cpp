#include "comm/local_world.h"

#include <thread>

#include "absl/strings/str_format.h"

namespace orthant::local {
namespace {

// With a core for every rank, spinning some microseconds is quicker than any sleep; with fewer cores
// it keeps the very rank from running that we wait for.
int SpinRounds(int ranks) {
  const unsigned cores = std::thread::hardware_concurrency();
  return static_cast<unsigned>(ranks) <= cores ? 200 : 10;
}

}  // namespace

World::World(int ranks, double timeout_seconds, bool check)
    : spin_rounds_(SpinRounds(ranks)), check_(check), parking_(std::make_unique<Parking[]>(ranks)) {
  for (int rank = 0; rank < ranks; ++rank) {
    recorders_.push_back(std::make_shared<FlightRecorder>(rank));
    recorders_.back()->set_timeout(timeout_seconds);
  }
}

void World::Abort(const LocalFailure& failure) {
  const std::lock_guard lock(mutex_);
  if (aborted()) return;
  reason_ = failure.reason;
  if (on_failure_) on_failure_(failure);
  aborted_.store(true, std::memory_order_release);
}

void World::CheckAlive(const Operation& op, const std::string& group) const {
  if (!aborted()) return;
  const std::lock_guard lock(mutex_);
  throw PeerFailed(absl::StrFormat("%s.%s stopped: %s", group, Describe(op), reason_));
}

}  // namespace orthant::local
