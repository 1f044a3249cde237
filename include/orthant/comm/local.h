// The `local` backend: ranks are threads of one process, and collectives read and write each other's memory.
// It is the quickest backend on one machine, runs in a debugger, and is the reference for the others.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "orthant/comm/communicator.h"

namespace orthant {

namespace local {
class Group;
}

// The failure that ends a local world, told once, on the failing rank's thread while the others still wait.
struct LocalFailure {
  int rank = -1;          // in the world; -1: ended from outside
  bool deadline = false;  // an operation was too late, rather than wrong
  std::string reason;
};

// n ranks that share this process. Communicators and works keep what they need of it alive.
class LocalWorld {
 public:
  // `timeout_seconds`: an operation that waits longer for its peers throws CommError on every rank.
  // `check`: members' labels are compared too, as comm.check asks.
  explicit LocalWorld(int ranks, double timeout_seconds = 600.0, bool check = false);

  int ranks() const;

  // Rank `rank`'s view of the world, to be used by one thread. Called once a rank, from any thread.
  std::unique_ptr<Communicator> Connect(int rank);

  // Makes every operation that waits, now or later, throw CommError with this reason. The first reason stays.
  // `rank`: who failed; -1: nobody.
  void Abort(const std::string& reason, int rank = -1);

  // Called at the first failure. Set before the ranks run.
  void OnFailure(std::function<void(const LocalFailure& failure)> call);

  // The recorder of one rank, for dumps. Any thread.
  const std::shared_ptr<FlightRecorder>& flight_recorder(int rank) const;

 private:
  std::shared_ptr<local::Group> group_;
};

struct LocalOptions {
  double timeout_seconds = 600.0;
  int threads_per_rank = 1;         // what at::set_num_threads is given on each rank
  bool caller_is_rank_zero = true;  // false: the caller only waits
  bool check = false;               // comm.check
  // Called once, before the first rank runs: for looking at recorders, and for OnFailure.
  std::function<void(LocalWorld& world)> prepare = nullptr;
};

// Whether a rank ended with this error only because another one had failed before.
bool FollowsFromAnother(const std::exception_ptr& error);

// Runs body(world) on n ranks and returns when all have ended. When one rank throws, the others' waits end
// with CommError; then the first error that is not such a consequence is rethrown here, as it was thrown.
void RunLocal(int ranks, const LocalOptions& options, const std::function<void(Communicator& world)>& body);

}  // namespace orthant
