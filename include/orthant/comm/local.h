// The `local` backend: ranks are threads of one process, and collectives read and write each other's memory.
// It is the quickest backend on one machine, runs in a debugger, and is the reference for the others.
#pragma once

#include <functional>
#include <memory>

#include "orthant/comm/communicator.h"

namespace orthant {

namespace local {
class Group;
}

// n ranks that share this process. Communicators and works keep what they need of it alive.
class LocalWorld {
 public:
  // `timeout_seconds`: an operation that waits longer for its peers throws CommError on every rank.
  explicit LocalWorld(int ranks, double timeout_seconds = 600.0);

  int ranks() const;

  // Rank `rank`'s view of the world, to be used by one thread. Called once a rank, from any thread.
  std::unique_ptr<Communicator> Connect(int rank);

  // Makes every operation that waits, now or later, throw CommError with this reason. The first reason stays.
  void Abort(const std::string& reason);

  // The recorder of one rank, for dumps. Any thread.
  const std::shared_ptr<FlightRecorder>& flight_recorder(int rank) const;

 private:
  std::shared_ptr<local::Group> group_;
};

struct LocalOptions {
  double timeout_seconds = 600.0;
  int threads_per_rank = 1;         // what at::set_num_threads is given on each rank
  bool caller_is_rank_zero = true;  // false: the caller only waits
};

// Runs body(world) on n ranks and returns when all have ended. When one rank throws, the others' waits end
// with CommError; then the first error that is not such a consequence is rethrown here, as it was thrown.
void RunLocal(int ranks, const LocalOptions& options, const std::function<void(Communicator& world)>& body);

}  // namespace orthant
