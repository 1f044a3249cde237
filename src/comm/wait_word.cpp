#include "comm/wait_word.h"

#include <algorithm>
#include <thread>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace orthant::local {

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void WaitWord::Wake() {
  // Sequentially consistent with SleepWhile: either we see the sleeper or it sees the new word.
  if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word_), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#endif
}

void WaitWord::Store(uint32_t value) {
  word_.store(value, std::memory_order_seq_cst);
  Wake();
}

void WaitWord::Bump() {
  word_.fetch_add(1, std::memory_order_seq_cst);
  Wake();
}

bool WaitWord::Exchange(uint32_t expected, uint32_t value) {
  if (!word_.compare_exchange_strong(expected, value, std::memory_order_seq_cst)) return false;
  Wake();
  return true;
}

void WaitWord::SleepWhile(uint32_t old, std::chrono::microseconds limit) {
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (word_.load(std::memory_order_seq_cst) == old) {
#if defined(__linux__)
    timespec timeout{};
    timeout.tv_sec = limit.count() / 1000000;
    timeout.tv_nsec = (limit.count() % 1000000) * 1000;
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word_), FUTEX_WAIT_PRIVATE, old, &timeout, nullptr, 0);
#else
    std::this_thread::sleep_for(std::min(limit, std::chrono::microseconds(50)));
#endif
  }
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace orthant::local
