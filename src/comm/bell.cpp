#include "comm/bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace orthant {

static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4);

Bell::Nap::Nap(Bell* bell) : bell_(bell) {
  bell_->sleepers_.fetch_add(1, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  rings_ = bell_->rings_.load(std::memory_order_seq_cst);
}

Bell::Nap::~Nap() {
  bell_->sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

void Bell::Nap::Sleep(std::chrono::microseconds limit) {
  timespec timeout{};
  timeout.tv_sec = limit.count() / 1000000;
  timeout.tv_nsec = (limit.count() % 1000000) * 1000;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&bell_->rings_), FUTEX_WAIT, rings_, &timeout, nullptr, 0);
}

void Bell::Ring() {
  // Either we see the sleeper or it sees what we have written before.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  RingAfterFence();
}

void Bell::RingAfterFence() {
  if (sleepers_.load(std::memory_order_relaxed) == 0) return;
  rings_.fetch_add(1, std::memory_order_seq_cst);
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&rings_), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace orthant
