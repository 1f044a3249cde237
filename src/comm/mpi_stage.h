// Stage: the shared memory in which the members of a group on one host carry out their collectives. Each
// member has a lane: counters that it alone writes, and slots that it alone fills and all read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/bell.h"
#include "comm/shared_memory.h"

namespace orthant::mpi {

struct Fingerprint;

// Where a member's tensors lie in its heap, in bytes; -1: not in it.
struct Whereabouts {
  int64_t input = -1;
  int64_t output = -1;
};

// How far a member is, in rounds since the group was made. A collective takes one round a piece, at least
// one, the same number on all members, so that all agree on the number of each round.
struct alignas(128) Lane {
  std::atomic<uint64_t> staged{0};    // rounds whose slot is filled
  std::atomic<uint64_t> read{0};      // rounds of which nothing more is read in others' slots
  std::atomic<uint64_t> ready{0};     // rounds whose result lies in the slot
  std::atomic<uint64_t> finished{0};  // rounds of which nothing more is read at all
};

class Stage {
 public:
  // Rounds that a member may be ahead of the slowest: it fills a slot while the other one is read.
  static constexpr uint64_t kSlots = 2;

  // Bytes of a slot's data, which hold a piece for each of the others: `wish`, or what suits the group (0).
  static int64_t SlotBytes(int members, int64_t wish);
  // Bytes of memory for a group.
  static int64_t BytesFor(int members, int64_t slot_bytes);

  // `memory`: zeroes of BytesFor(bells.size(), slot_bytes). `bells`: of the members, in their order. `heaps`:
  // likewise; empty: they cannot be reached.
  Stage(SharedMemory memory, int member, int64_t slot_bytes, std::vector<Bell*> bells,
        std::vector<std::byte*> heaps = {});

  int members() const { return static_cast<int>(bells_.size()); }
  int64_t slot_bytes() const { return slot_bytes_; }
  int64_t bytes() const { return memory_.bytes(); }
  bool reaches_heaps() const { return !heaps_.empty(); }
  std::byte* heap(int member) const { return heaps_[static_cast<size_t>(member)]; }

  // Of a member's slot for a round: what it calls, where its tensors are, its split counts (to each, then
  // from each), data, result.
  Fingerprint* print(int member, uint64_t round) const;
  Whereabouts* whereabouts(int member, uint64_t round) const;
  int64_t* counts(int member, uint64_t round) const;
  std::byte* data(int member, uint64_t round) const;
  std::byte* result(int member, uint64_t round) const;

  // The rounds that every member has behind it by this counter.
  uint64_t Least(std::atomic<uint64_t> Lane::*counter) const;
  // Moves this member's counter to `rounds` and wakes whoever waits for it.
  void Publish(std::atomic<uint64_t> Lane::*counter, uint64_t rounds);
  // The same for `read` and `ready`; for `read` and what follows it, when members fetch no results.
  void PublishReady(uint64_t rounds);
  void PublishFinished(uint64_t rounds);

  // The rounds of the collectives that are over here.
  uint64_t rounds() const { return rounds_; }
  void Advance(uint64_t rounds) { rounds_ += rounds; }

 private:
  std::byte* slot(int member, uint64_t round) const;
  Lane& lane(int member) const;
  void Ring();

  SharedMemory memory_;
  int member_;
  std::vector<Bell*> bells_;
  std::vector<std::byte*> heaps_;
  int64_t slot_bytes_;
  uint64_t rounds_ = 0;
};

}  // namespace orthant::mpi
