// Transfers by io_uring (Linux 5.1 and later): submitted by the rank's thread, carried out by the kernel, no
// thread of ours. One ring serves all files of an engine, that is of one store: its memory (16 KiB) is locked
// and counts against a limit of often 64 KiB a user on older kernels, which one ring a file would pass at
// once. ORTHANT_HAVE_URING is defined for this file alone (cmake/OrthantDependencies.cmake).
#include "core/async_file_parts.h"
#include "orthant/core/status.h"

#ifdef ORTHANT_HAVE_URING

#include <liburing.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

constexpr unsigned kEntries = 128;  // two buffers' pieces; more wait here
constexpr int64_t kPatienceNanoseconds = 20'000'000;

class UringEngine final : public TransferEngine {
 public:
  ~UringEngine() override {
    if (open_) ::io_uring_queue_exit(&ring_);
  }

  // 0 or -errno.
  int Open() {
    const int result = ::io_uring_queue_init(kEntries, &ring_, 0);
    open_ = result == 0;
    return result;
  }

  void Start(Request& request) override {
    for (Piece& piece : request.pieces) waiting_.push_back(&piece);
    Submit();
  }

  void Finish(Request& request) override {
    while (request.open > 0) {
      Submit();
      if (request.open == 0) break;
      if (flying_ > 0) {
        Reap(true);
      } else {
        // The kernel is out of memory for the moment.
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }

  bool Poll(Request& request) override {
    while (request.open > 0 && Reap(false)) {
    }
    Submit();
    return request.open == 0;
  }

  std::string Name() const override { return "io_uring"; }

 private:
  // Hands the kernel as many waiting pieces as it takes.
  void Submit() {
    while (true) {
      while (!waiting_.empty() && Prepare(*waiting_.front())) waiting_.pop_front();
      if (::io_uring_sq_ready(&ring_) == 0) return;
      const int taken = ::io_uring_submit(&ring_);
      if (taken == -EINTR) continue;
      if (taken == -EAGAIN || taken == -EBUSY || taken == 0) return;  // later: after completions
      if (taken < 0) throw std::system_error(-taken, std::generic_category(), "io_uring_submit");
      flying_ += static_cast<unsigned>(taken);
    }
  }

  // Whether the piece is in the queue, or at its end.
  bool Prepare(Piece& piece) {
    const int fd = piece.request->file->Descriptor(piece.direct());
    if (fd < 0) {
      Take(piece, fd);
      return true;
    }
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return false;
    piece.rest = {piece.data + piece.done, piece.size - piece.done};
    const auto offset = static_cast<uint64_t>(piece.offset) + piece.done;
    // The vectored calls are the ones that kernels before 5.6 have too.
    if (piece.request->write) {
      ::io_uring_prep_writev(entry, fd, &piece.rest, 1, offset);
    } else {
      ::io_uring_prep_readv(entry, fd, &piece.rest, 1, offset);
    }
    ::io_uring_sqe_set_data(entry, &piece);
    return true;
  }

  // The kernel hands what would block to worker threads of its own. Under load a worker was seen not to be
  // made (Linux 6.18): the work lay there until the next request came. So when nothing comes, one does: an
  // empty one, for the workers.
  void Nudge() {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return;
    ::io_uring_prep_nop(entry);
    ::io_uring_sqe_set_data(entry, nullptr);
    entry->flags |= IOSQE_ASYNC;
    Submit();
  }

  // Takes one completion; false when there is none (or, waiting, a signal or the time limit came first).
  bool Reap(bool wait) {
    io_uring_cqe* entry = nullptr;
    __kernel_timespec limit{.tv_sec = 0, .tv_nsec = kPatienceNanoseconds};
    const int result =
        wait ? ::io_uring_wait_cqe_timeout(&ring_, &entry, &limit) : ::io_uring_peek_cqe(&ring_, &entry);
    if (result == -ETIME) Nudge();
    if (result == -EAGAIN || result == -EINTR || result == -ETIME) return false;
    if (result < 0) throw std::system_error(-result, std::generic_category(), "io_uring_wait_cqe");
    auto* piece = static_cast<Piece*>(::io_uring_cqe_get_data(entry));
    const int moved = entry->res;
    ::io_uring_cqe_seen(&ring_, entry);
    --flying_;
    if (piece != nullptr) Take(*piece, moved);
    return true;
  }

  void Take(Piece& piece, int result) {
    std::optional<absl::Status> end = Settle(piece, result);
    if (!end.has_value()) {
      waiting_.push_back(&piece);
      return;
    }
    if (piece.request->status.ok()) piece.request->status = *std::move(end);
    --piece.request->open;
  }

  io_uring ring_{};
  bool open_ = false;
  std::deque<Piece*> waiting_;  // to be submitted
  unsigned flying_ = 0;         // submitted, completion not seen
};

}  // namespace

absl::StatusOr<std::shared_ptr<TransferEngine>> MakeUringEngine() {
  auto engine = std::make_shared<UringEngine>();
  // EPERM: a container's or the system's rule; ENOSYS: an old kernel; ENOMEM: locked memory is used up.
  if (const int result = engine->Open(); result != 0) {
    return EnvironmentError(absl::StrCat(
        "io_uring is refused here: ", std::generic_category().message(-result), "; threads do without it"));
  }
  return engine;
}

}  // namespace orthant

#else

namespace orthant {

absl::StatusOr<std::shared_ptr<TransferEngine>> MakeUringEngine() {
  return EnvironmentError(
      "io_uring is not in this build: liburing was not found when it was configured (launch/setup.sh "
      "installs "
      "it); threads do without it");
}

}  // namespace orthant

#endif
