// Transfers by two threads. Two, since one call at a time leaves a disk idle between calls, and since reading
// ahead and writing back shall go on together; more would take processors from the ranks. One pair serves all
// files of an engine, so that a run of many files has few threads.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/async_file_parts.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Moves a piece to its end.
absl::Status Run(Piece& piece) {
  while (true) {
    int64_t result = 0;
    const int fd = piece.request->file->Descriptor(piece.direct());
    std::byte* data = piece.data + piece.done;
    const size_t size = piece.size - piece.done;
    const int64_t offset = piece.offset + static_cast<int64_t>(piece.done);
    if (fd < 0) {
      result = fd;
    } else if (piece.request->write) {
      result = ::pwrite(fd, data, size, offset);
    } else {
      result = ::pread(fd, data, size, offset);
    }
    if (fd >= 0 && result < 0) result = -errno;
    if (std::optional<absl::Status> end = Settle(piece, result)) return *std::move(end);
  }
}

class ThreadEngine final : public TransferEngine {
 public:
  ThreadEngine() = default;
  ~ThreadEngine() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  // Throws std::system_error.
  void Open() {
    for (std::thread& thread : threads_) thread = std::thread([this] { Serve(); });
  }

  void Start(Request& request) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (Piece& piece : request.pieces) queue_.push_back(&piece);
    }
    work_.notify_all();
  }

  void Finish(Request& request) override {
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return request.open == 0; });
  }

  bool Poll(Request& request) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return request.open == 0;
  }

  std::string Name() const override { return "threads"; }

 private:
  void Serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      work_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      Piece& piece = *queue_.front();
      queue_.pop_front();
      lock.unlock();
      absl::Status status = Run(piece);
      lock.lock();
      Request& request = *piece.request;
      if (request.status.ok()) request.status = std::move(status);
      // The request may be gone as soon as the lock is: its owner waits for the last piece only.
      if (--request.open == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;  // of what follows, and of every request's `open` and `status`
  std::condition_variable work_, done_;
  std::deque<Piece*> queue_;
  bool stop_ = false;
  std::array<std::thread, 2> threads_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<TransferEngine>> MakeThreadEngine() {
  auto engine = std::make_shared<ThreadEngine>();
  try {
    engine->Open();
  } catch (const std::system_error& error) {
    return EnvironmentError(absl::StrCat("two threads for files could not be started: ", error.what(),
                                         "; raise the limit on processes (ulimit -u)"));
  }
  return engine;
}

}  // namespace orthant
