#include "checkpoint/worker.h"

#include <csignal>
#include <utility>

namespace orthant {
namespace {

// The calling thread's signals, but for those that an instruction of its own raises.
void BlockSignals() {
  sigset_t set;
  ::sigfillset(&set);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) ::sigdelset(&set, fault);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

void Worker::Start(std::function<void()> task) {
  Join();
  busy_ = true;
  try {
    thread_ = std::thread([this, task = std::move(task)] {
      BlockSignals();
      task();
      const std::lock_guard<std::mutex> lock(mutex_);
      busy_ = false;
      ended_.notify_all();
    });
  } catch (...) {
    busy_ = false;
    throw;
  }
}

bool Worker::busy() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return busy_;
}

void Worker::WaitFor(std::chrono::milliseconds limit) {
  std::unique_lock<std::mutex> lock(mutex_);
  // By the system's clock: ThreadSanitizer of GCC before 13 does not know the wait on the steady one.
  ended_.wait_until(lock, std::chrono::system_clock::now() + limit, [this] { return !busy_; });
}

void Worker::Join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace orthant
