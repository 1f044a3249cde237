#include "orthant/core/signals.h"

#include <atomic>
#include <csignal>

namespace orthant {
namespace {

// A handler reaches nothing but what has static storage; lock-free, so it may be written there.
std::atomic<int> g_stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void Remember(int signal) {
  int none = 0;
  g_stop_signal.compare_exchange_strong(none, signal);
}

}  // namespace

void InstallStopSignals() {
  struct sigaction action = {};
  action.sa_handler = Remember;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // system calls under way go on
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);
}

int StopSignal() {
  return g_stop_signal.load(std::memory_order_relaxed);
}

void ClearStopSignal() {
  g_stop_signal.store(0);
}

void IgnoreBrokenLimits() {
  std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace orthant
