// Worker: one task at a time on a thread of its own, beside the rank's thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace orthant {

// Used by one thread.
class Worker {
 public:
  Worker() = default;
  ~Worker() { Join(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // `task` throws nothing. Signals go to other threads; a limit on file sizes is an error of the write, not a
  // signal that ends the process. Throws std::system_error where the system gives no thread.
  void Start(std::function<void()> task);
  bool busy() const;
  // Returns when the task has ended, or at the latest after `limit`.
  void WaitFor(std::chrono::milliseconds limit);
  void Join();

 private:
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  bool busy_ = false;
  std::thread thread_;
};

}  // namespace orthant
