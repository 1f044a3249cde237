// FlightRecorder: the last operations of one rank, always on, so that a hang or a crash leaves a trace.
// Recording costs two clock reads and no allocation; any thread may read while the rank goes on.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
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
  uint64_t sequence = 0;  // position within the group: equal on all members, or on both ends of a message
  int group = 0;          // index from RegisterGroup
  int64_t step = 0;       // that the rank was in
  OpKind op = OpKind::kBarrier;
  ReduceOp reduce = ReduceOp::kSum;
  FlightState state = FlightState::kQueued;
  c10::ScalarType dtype = c10::ScalarType::Float;
  int peer = -1;         // root, or the other end
  int64_t elements = 0;  // of this rank's share
  int64_t sent = 0;      // bytes, as Communicator::bytes_sent counts them
  Label label;
  std::chrono::steady_clock::time_point queued{};
  std::chrono::steady_clock::time_point started{};
  std::chrono::steady_clock::time_point ended{};
  // Of an asynchronous one, while TimeWaits is on: when the rank's thread began to wait for it, and when it
  // was over, as far as the backend knows (`ended` is when the thread had it). Else not set.
  std::chrono::steady_clock::time_point waited{}, over{};
};

// A group that a rank belongs or belonged to.
struct FlightGroup {
  std::string name;
  std::vector<int> members;  // world ranks, in group order; empty: not known
  int instance = 0;          // among the rank's groups of this name and these members: 0, 1, ...
  uint64_t issued = 0;       // collectives called so far
  uint64_t since = 0;        // the first ticket that can be its; earlier ones are of a group before it
};

class FlightRecorder {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kDefaultCapacity = 1024;

  // `rank`: in the world. The capacity is raised to a power of two.
  explicit FlightRecorder(int rank, size_t capacity = kDefaultCapacity);

  int rank() const { return rank_; }
  size_t capacity() const { return mask_ + 1; }

  // Remembers a group and returns its index, for Begin. The record outlives the group; once released, the
  // index is given again to the next group with the same name and members. The rank's own thread.
  int RegisterGroup(const std::string& name, const std::vector<int>& members = {});
  void ReleaseGroup(int group);
  std::vector<FlightGroup> Groups() const;  // any thread

  // What the rank does, for verdicts. Steps count from 1; 0: before the first. `what` is a literal as "data
  // loading", "forward", "backward", "optimizer", "saving", "evaluation". Set by the rank's own thread, read
  // by any.
  void SetStep(int64_t step) { step_.store(step, std::memory_order_relaxed); }
  int64_t step() const { return step_.load(std::memory_order_relaxed); }
  void SetActivity(const char* what);
  const char* activity() const { return activity_.load(std::memory_order_acquire); }
  double activity_seconds() const;  // since it was set

  // How long every wait of this rank may last, from now on. Any thread.
  void set_timeout(double seconds) { timeout_.store(seconds, std::memory_order_relaxed); }
  double timeout() const { return timeout_.load(std::memory_order_relaxed); }

  // The hash of a literal's text, remembered by its address. The rank's own thread.
  uint64_t LabelHash(const char* what);

  // Opens an entry and returns its ticket. Called by the rank's own thread alone.
  uint64_t Begin(const Operation& op, int group, FlightState state);
  // When the newest entry was opened. The rank's own thread.
  Clock::time_point begun() const { return begun_; }
  // Moves an entry on, unless it has been overwritten since; -> the time of it. Any thread.
  Clock::time_point Mark(uint64_t ticket, FlightState state);

  // The operation that the rank's thread waits for: a blocking one from Begin on, an asynchronous one from
  // here on; until it is marked done or failed. 0: none. Set by the rank's own thread, read by any.
  void SetWaiting(uint64_t ticket) {
    waiting_.store(ticket, std::memory_order_relaxed);
    if (time_waits_.load(std::memory_order_relaxed) && ticket != 0) NoteWait(ticket);
  }
  uint64_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  // While on, each entry says when its wait began, and NoteOver is heeded: for timelines. Off, it costs a
  // branch where ranks wait.
  void TimeWaits(bool on) { time_waits_.store(on, std::memory_order_relaxed); }
  // The operation was over at `when`, which may lie before the wait for it. Any thread.
  void NoteOver(uint64_t ticket, Clock::time_point when) {
    if (time_waits_.load(std::memory_order_relaxed)) KeepOver(ticket, when);
  }

  // The entries held, oldest first. Any thread.
  std::vector<FlightEntry> Entries() const;
  // The ticket of the next entry, and those of the entries held that are not before `first`. Any thread.
  uint64_t next_ticket() const { return next_.load(std::memory_order_acquire); }
  std::vector<FlightEntry> EntriesFrom(uint64_t first) const;
  // One line an entry, oldest first; the last `limit` of them when that is not 0. Any thread.
  std::string Dump(size_t limit = 0) const;
  // The newest entry in one line, or "nothing": what a verdict says of a missing rank. Any thread.
  std::string Last() const { return LineOrNothing(); }

 private:
  struct Registered {
    FlightGroup group;  // but for `issued`
    std::atomic<uint64_t> issued{0};
    bool released = false;
  };
  struct KnownLabel {
    const char* what = nullptr;
    uint64_t hash = 0;
  };
  struct alignas(64) Slot {
    mutable std::atomic_flag busy = ATOMIC_FLAG_INIT;  // held for some ten nanoseconds
    FlightEntry entry;
  };
  class Hold;

  void NoteWait(uint64_t ticket);
  void KeepOver(uint64_t ticket, Clock::time_point when);
  std::string Line(const FlightEntry& entry) const;
  std::string LineOrNothing() const;

  int rank_;
  size_t mask_;
  std::unique_ptr<Slot[]> slots_;
  std::atomic<uint64_t> next_{1};
  Clock::time_point origin_;
  Clock::time_point begun_{};
  std::atomic<uint64_t> waiting_{0};
  std::atomic<bool> time_waits_{false};
  std::atomic<int64_t> step_{0};
  std::atomic<const char*> activity_{""};
  std::atomic<Clock::rep> activity_since_;
  std::atomic<double> timeout_{600.0};
  std::vector<KnownLabel> labels_;
  mutable std::mutex groups_mutex_;  // between the rank's registrations and others that read
  std::deque<Registered> groups_;    // references stay valid
};

}  // namespace orthant
