// The account as the allocator sees it: charges and discharges blocks, keeps them in lists, notes peaks.
#pragma once

#include <array>
#include <atomic>
#include <mutex>

#include "memory/block.h"
#include "orthant/memory/account.h"

namespace orthant {

// Everything but the limit under one mutex, which only the threads of one rank share.
class MemoryAccount::State {
 public:
  State(MemoryAccount& owner, int64_t limit) : owner_(owner), limit_(limit) {}

  // OutOfMemory when `bytes` more, under the thread's tag, would pass the limit. No lock unless they would.
  void CheckLimit(int64_t bytes, const MemoryContext& thread) const;
  // Charges a block whose fields are set. False, and nothing is charged, when another thread's allocation has
  // used up the limit since CheckLimit.
  bool Add(MemoryBlock& block);
  // The block's memory is about to be freed. May end the account's life.
  void Remove(MemoryBlock& block);
  // What is held now counts towards the phase's peak.
  void EnterPhase(StepPhase phase);
  [[noreturn]] void ThrowOutOfMemory(int64_t bytes, const MemoryContext& thread) const;

  int64_t limit() const { return limit_; }
  TagBytes current() const;
  MemoryPeak peak() const;
  MemoryPeak peak(StepPhase phase) const;
  bool seen(StepPhase phase) const;
  void ResetPeaks(StepPhase phase);
  std::vector<MemoryHolder> LargestHolders(int count) const;
  void KeepTemporaries(const MemoryContext& thread);

 private:
  struct PhasePeak {
    MemoryPeak peak;
    bool seen = false;
  };
  bool WouldPass(int64_t bytes) const { return bytes > limit_ - device_.load(std::memory_order_relaxed); }
  // Callers hold the mutex.
  void NotePeaks(StepPhase phase);
  void NotePeak(MemoryPeak& peak) const;

  MemoryAccount& owner_;
  const int64_t limit_;
  mutable std::mutex mutex_;
  std::atomic<int64_t> device_ = 0;  // written under the mutex; read without it by CheckLimit
  TagBytes current_{};
  MemoryPeak peak_;
  std::array<PhasePeak, kStepPhases> phases_;
  MemoryLink temporaries_, others_;  // apart, so that KeepTemporaries walks few
  int64_t blocks_ = 0;
  std::shared_ptr<MemoryAccount> self_;  // while there are blocks: they keep the account alive
};

}  // namespace orthant
