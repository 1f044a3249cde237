// What all ranks of a local world share: the deadline, the verdict that ends it, recorders and parking
// places.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/wait_word.h"
#include "orthant/comm/communicator.h"
#include "orthant/comm/local.h"

namespace orthant::local {

// Thrown by operations of ranks that stop because another one failed: never the first error.
class PeerFailed : public CommError {
 public:
  using CommError::CommError;
};

class World {
 public:
  World(int ranks, double timeout_seconds, bool check);

  int ranks() const { return static_cast<int>(recorders_.size()); }
  // How long rank `rank` may wait, now.
  double timeout(int rank) const { return recorders_[rank]->timeout(); }
  bool check() const { return check_; }  // labels must agree
  const std::shared_ptr<FlightRecorder>& recorder(int rank) const { return recorders_[rank]; }
  // Where rank `rank` sleeps while it waits for a message.
  WaitWord& parking(int rank) { return parking_[rank].word; }

  // What precedes every sleep: some spinning where each rank has a core, then giving the core away a few
  // times. With 16 ranks on two cores a barrier takes half the time it takes when everyone goes to sleep at
  // once.
  template <typename Done>
  void Linger(const Done& done) const {
    for (int round = spin_rounds_; round > 0; --round) {
      if (done()) return;
      Pause();
    }
    for (int round = kYields; round > 0 && !done(); --round) std::this_thread::yield();
  }

  // Ends the world: operations that wait notice within kPoll. The first reason stays.
  void Abort(const LocalFailure& failure);
  void OnFailure(std::function<void(const LocalFailure& failure)> call) { on_failure_ = std::move(call); }
  bool aborted() const { return aborted_.load(std::memory_order_acquire); }
  // Throws PeerFailed when the world has ended.
  void CheckAlive(const Operation& op, const std::string& group) const;

  // How often a sleeping rank looks whether the world has ended or its deadline has passed.
  static constexpr std::chrono::microseconds kPoll{10000};

 private:
  static constexpr int kYields = 32;

  struct alignas(64) Parking {
    WaitWord word;
  };

  int spin_rounds_;
  bool check_;
  std::function<void(const LocalFailure&)> on_failure_;  // set before there are ranks
  std::vector<std::shared_ptr<FlightRecorder>> recorders_;
  std::unique_ptr<Parking[]> parking_;
  std::atomic<bool> aborted_{false};
  mutable std::mutex mutex_;
  std::string reason_;  // guarded by mutex_
};

}  // namespace orthant::local
