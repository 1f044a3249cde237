// WaitWord: a 32-bit state that threads wait for, by a short spin and then a futex with a time limit.
// std::atomic::wait has no deadline, and a deadline is what keeps a lost peer from becoming a hang.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace orthant::local {

class WaitWord {
 public:
  uint32_t Load() const { return word_.load(std::memory_order_acquire); }

  // Sets the word back while nobody can be waiting.
  void Reset(uint32_t value) { word_.store(value, std::memory_order_relaxed); }

  // Changes the word and wakes everyone who sleeps on it.
  void Store(uint32_t value);
  bool Exchange(uint32_t expected, uint32_t value);  // false: the word was not `expected`
  void Bump();                                       // adds one, for words that only count events

  // Returns when the word is not `old`, or at the latest after `limit`.
  void SleepWhile(uint32_t old, std::chrono::microseconds limit);

 private:
  void Wake();

  std::atomic<uint32_t> word_{0};
  std::atomic<uint32_t> sleepers_{0};
};

// One round of a spin: tells the core that this thread only waits.
void Pause();

}  // namespace orthant::local
