// Bell: a word in shared memory on which a process sleeps until another one of its host rings it. One for
// everything a process waits for, since a thread can sleep on one word only.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace orthant {

// Lies in zeroed shared memory. Whoever wants to sleep opens a nap, looks once more whether there is anything
// to do, and sleeps: what happened after the nap was opened has rung the bell.
class alignas(128) Bell {
 public:
  class Nap {
   public:
    explicit Nap(Bell* bell);
    ~Nap();
    Nap(const Nap&) = delete;
    Nap& operator=(const Nap&) = delete;
    // Returns when the bell rings or has rung since the nap was opened, at the latest after `limit`.
    void Sleep(std::chrono::microseconds limit);

   private:
    Bell* bell_;
    uint32_t rings_;
  };

  // Wakes all who sleep; costs next to nothing when nobody does. What was written before is seen by them.
  void Ring();
  // The same after std::atomic_thread_fence(seq_cst): one fence serves many bells.
  void RingAfterFence();

 private:
  std::atomic<uint32_t> rings_{0};
  std::atomic<uint32_t> sleepers_{0};
};

}  // namespace orthant
