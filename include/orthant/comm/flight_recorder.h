// FlightRecorder: the last operations of one rank, always on, so that a hang or a crash leaves a trace.
// Recording costs two clock reads and no allocation; any thread may read while the rank goes on.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "orthant/comm/operation.h"

namespace orthant {

enum class FlightState : uint8_t { kQueued, kStarted, kDone, kFailed };
const char* ToString(FlightState state);

struct FlightEntry {
  uint64_t ticket = 0;    // 1, 2, ... over all groups of the rank; 0: empty
  uint64_t sequence = 0;  // position within the group: equal on all members for collectives
  int group = 0;          // index from RegisterGroup
  OpKind op = OpKind::kBarrier;
  FlightState state = FlightState::kQueued;
  c10::ScalarType dtype = c10::ScalarType::Float;
  int peer = -1;         // root, or the other end
  int64_t elements = 0;  // of this rank's share
  Label label;
  std::chrono::steady_clock::time_point queued{};
  std::chrono::steady_clock::time_point started{};
  std::chrono::steady_clock::time_point ended{};
};

class FlightRecorder {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kDefaultCapacity = 1024;

  // `rank`: in the world. The capacity is raised to a power of two.
  explicit FlightRecorder(int rank, size_t capacity = kDefaultCapacity);

  int rank() const { return rank_; }
  size_t capacity() const { return mask_ + 1; }

  // Remembers a group's name and returns its index. The name outlives the group.
  int RegisterGroup(const std::string& name);

  // Opens an entry and returns its ticket. Called by the rank's own thread alone.
  uint64_t Begin(const Operation& op, int group, FlightState state);
  // Moves an entry on; does nothing when it has been overwritten since. Any thread.
  void Mark(uint64_t ticket, FlightState state);

  // The entries held, oldest first. Any thread.
  std::vector<FlightEntry> Entries() const;
  // One line an entry, oldest first; the last `limit` of them when that is not 0. Any thread.
  std::string Dump(size_t limit = 0) const;
  // The newest entry in one line, or "nothing": what a verdict says of a missing rank. Any thread.
  std::string Last() const { return LineOrNothing(); }

 private:
  struct alignas(64) Slot {
    mutable std::atomic_flag busy = ATOMIC_FLAG_INIT;  // held for some ten nanoseconds
    FlightEntry entry;
  };
  class Hold;

  std::string Line(const FlightEntry& entry) const;
  std::string LineOrNothing() const;

  int rank_;
  size_t mask_;
  std::unique_ptr<Slot[]> slots_;
  std::atomic<uint64_t> next_{1};
  Clock::time_point origin_;
  mutable std::mutex names_mutex_;
  std::vector<std::string> names_;
};

}  // namespace orthant
