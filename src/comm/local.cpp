#include "orthant/comm/local.h"

#include <pthread.h>

#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "comm/local_communicator.h"

namespace orthant {
namespace {

std::string TextOf(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "an error of unknown type";
  }
}

// The first error of all ranks, and whether it is one that only follows from another.
class FirstError {
 public:
  void Add(const std::exception_ptr& error, bool consequence) {
    const std::lock_guard lock(mutex_);
    if (error_ && (consequence || !consequence_)) return;
    error_ = error;
    consequence_ = consequence;
  }
  void Rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
  bool consequence_ = false;
};

}  // namespace

bool FollowsFromAnother(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const local::PeerFailed&) {
    return true;
  } catch (...) {
    return false;
  }
}

LocalWorld::LocalWorld(int ranks, double timeout_seconds, bool check) {
  if (ranks < 1) throw CommError(absl::StrFormat("a world of %d ranks: at least one is needed", ranks));
  auto world = std::make_shared<local::World>(ranks, timeout_seconds, check);
  std::vector<int> all(ranks);
  std::iota(all.begin(), all.end(), 0);
  group_ = std::make_shared<local::Group>(std::move(world), "world", std::move(all));
}

int LocalWorld::ranks() const {
  return group_->size();
}

std::unique_ptr<Communicator> LocalWorld::Connect(int rank) {
  if (rank < 0 || rank >= ranks()) {
    throw CommError(absl::StrFormat("rank %d is not in the world (0 to %d)", rank, ranks() - 1));
  }
  return std::make_unique<local::LocalCommunicator>(group_, rank);
}

void LocalWorld::Abort(const std::string& reason, int rank) {
  group_->world().Abort({rank, false, reason});
}

void LocalWorld::OnFailure(std::function<void(const LocalFailure& failure)> call) {
  group_->world().OnFailure(std::move(call));
}

const std::shared_ptr<FlightRecorder>& LocalWorld::flight_recorder(int rank) const {
  return group_->world().recorder(rank);
}

void RunLocal(int ranks, const LocalOptions& options, const std::function<void(Communicator& world)>& body) {
  LocalWorld world(ranks, options.timeout_seconds, options.check);
  if (options.prepare) options.prepare(world);
  FirstError first;
  const auto run = [&](int rank) {
    try {
      at::set_num_threads(options.threads_per_rank);
      const std::unique_ptr<Communicator> communicator = world.Connect(rank);
      body(*communicator);
    } catch (...) {
      const std::exception_ptr error = std::current_exception();
      const bool consequence = FollowsFromAnother(error);
      first.Add(error, consequence);
      if (!consequence) world.Abort(absl::StrFormat("rank %d failed: %s", rank, TextOf(error)), rank);
    }
  };
  std::vector<std::thread> threads;
  for (int rank = options.caller_is_rank_zero ? 1 : 0; rank < ranks; ++rank) {
    threads.emplace_back([&run, rank] {
      pthread_setname_np(pthread_self(), absl::StrCat("rank ", rank).c_str());
      run(rank);
    });
  }
  if (options.caller_is_rank_zero) {
    const int threads_before = at::get_num_threads();
    run(0);
    at::set_num_threads(threads_before);
  }
  for (std::thread& thread : threads) thread.join();
  first.Rethrow();
}

}  // namespace orthant
