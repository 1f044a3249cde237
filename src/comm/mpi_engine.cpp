#include "comm/mpi_engine.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_format.h"
#include "comm/wait_word.h"
#include "orthant/comm/communicator.h"

namespace orthant::mpi {
namespace {

using std::chrono::microseconds;

// Rounds in which a waiting thread keeps its core: a peer that is at work answers sooner than the kernel
// does.
constexpr int kSpins = 16;
// Those in which it gives the core away, before it sleeps until a peer rings.
constexpr int kYields = 64;
// Nobody rings for messages: who has waited for one for so many rounds looks again after a while only.
constexpr int kPatience = 400;
constexpr microseconds kMessageNap{50};
// Nobody rings for an operation of the same process that has just been issued, nor for a deadline.
constexpr microseconds kLongestNap{2000};

}  // namespace

void Check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommError(absl::StrFormat("%s: %s", call, std::string(text, static_cast<size_t>(length))));
}

void Transfer::Reset() {
  stage = 0;
  shared = SharedRun();
  spread = SpreadRun();
  begin = end = 0;
  check_stage = 0;
  error_is_whole = false;
  error.clear();
  done.store(false, std::memory_order_relaxed);
}

Channel::~Channel() {
  // Freeing is an agreement of the members; when operations are left over there is none.
  if (comm != MPI_COMM_NULL && collectives.empty() && messages.empty()) {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Comm_free(&comm);
  }
}

std::byte* Channel::Scratch(int64_t bytes) {
  if (static_cast<int64_t>(scratch.size()) < bytes)
    scratch = std::vector<std::byte>(static_cast<size_t>(bytes));
  return scratch.data();
}

Engine::~Engine() {
  stop_.store(true);
  { const std::lock_guard lock(mutex_); }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool Engine::Advance(Channel* channel, Transfer* transfer, bool* moved) {
  try {
    if (channel->stage != nullptr && !transfer->op.point_to_point())
      return AdvanceShared(channel, transfer, *host_, moved);
    const bool checked = !channel->check || transfer->check_stage < 0;
    if (checked && GoesThroughSpread(*channel, *transfer)) return AdvanceSpread(channel, transfer, moved);
    while (true) {
      if (!transfer->requests.empty()) {
        int complete = 0;
        Check(MPI_Testall(static_cast<int>(transfer->requests.size()), transfer->requests.data(), &complete,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
        if (complete == 0) return false;
        transfer->requests.clear();
        for (MPI_Datatype& type : transfer->types) MPI_Type_free(&type);
        transfer->types.clear();
      }
      *moved = true;
      if (channel->check && transfer->check_stage >= 0) {
        if (PostCheck(channel, transfer)) continue;
        transfer->check_stage = -1;
        if (GoesThroughSpread(*channel, *transfer)) return AdvanceSpread(channel, transfer, moved);
      }
      if (!PostNext(channel, transfer)) break;
    }
  } catch (const std::exception& error) {
    transfer->error = error.what();
    *moved = true;
  }
  return true;
}

bool Engine::Pass() {
  bool moved = false;
  bool completed = false;
  bool messages = false;
  for (const std::shared_ptr<Channel>& channel : active_) {
    while (!channel->collectives.empty()) {
      Transfer* transfer = channel->collectives.front().get();
      if (!Advance(channel.get(), transfer, &moved)) break;
      const std::shared_ptr<Transfer> keep = std::move(channel->collectives.front());
      channel->collectives.pop_front();
      keep->ended = std::chrono::steady_clock::now();
      keep->done.store(true, std::memory_order_release);
      completed = true;
    }
    std::erase_if(channel->messages, [&](const std::shared_ptr<Transfer>& transfer) {
      if (!Advance(channel.get(), transfer.get(), &moved)) return false;
      transfer->ended = std::chrono::steady_clock::now();
      transfer->done.store(true, std::memory_order_release);
      completed = true;
      return true;
    });
    messages = messages || !channel->messages.empty() ||
               (channel->stage == nullptr && !channel->collectives.empty());
    channel->active = !channel->collectives.empty() || !channel->messages.empty();
  }
  std::erase_if(active_, [](const std::shared_ptr<Channel>& channel) { return !channel->active; });
  // A thread of ours that sleeps may wait for what is over now, or has to poll from now on.
  const bool poll = !messages_.exchange(messages) && messages;
  Bell* bell = host_->own_bell();
  if ((completed || poll) && bell != nullptr) bell->Ring();
  return moved;
}

void Engine::Submit(const std::shared_ptr<Channel>& channel, const std::shared_ptr<Transfer>& transfer,
                    bool background) {
  {
    const std::lock_guard lock(mutex_);
    if (transfer->op.point_to_point()) {
      channel->messages.push_back(transfer);
    } else {
      channel->collectives.push_back(transfer);
    }
    if (!channel->active) {
      channel->active = true;
      active_.push_back(channel);
    }
    Pass();
    if (active_.empty() || !background) return;
    if (!thread_.joinable()) thread_ = std::thread([this] { ThreadMain(); });
  }
  if (idle_.load()) work_.notify_one();
}

void Engine::Idle(int misses, microseconds limit) {
  if (misses < kSpins) return local::Pause();
  Bell* bell = host_->own_bell();
  const bool poll = bell == nullptr || messages_.load();
  if (poll && misses >= kPatience) return std::this_thread::sleep_for(std::min(limit, kMessageNap));
  if (poll || misses < kYields) return std::this_thread::yield();
  Bell::Nap nap(bell);
  {
    const std::lock_guard lock(mutex_);
    if (Pass() || messages_.load()) return;
  }
  nap.Sleep(std::min(limit, kLongestNap));
}

void Engine::ThreadMain() {
  int misses = 0;
  while (!stop_.load()) {
    bool moved = false;
    {
      std::unique_lock lock(mutex_);
      idle_.store(true);
      // While a rank waits it does our work; the time limit is for its leaving with work left over.
      while (!stop_.load() && (active_.empty() || waiters_.load() > 0)) {
        if (active_.empty()) {
          work_.wait(lock);
        } else {
          work_.wait_for(lock, microseconds(200));
        }
      }
      idle_.store(false);
      if (stop_.load()) return;
      moved = Pass();
    }
    misses = moved ? 0 : misses + 1;
    // The cores are for computing: look again soon, but not all the time.
    if (misses < 50 || !messages_.load()) {
      Idle(misses, kLongestNap);
    } else {
      std::this_thread::sleep_for(microseconds(misses < 200 ? 20 : 100));
    }
  }
}

bool Engine::WaitFor(const Transfer& transfer, double timeout_seconds) {
  if (transfer.done.load(std::memory_order_acquire)) return true;
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> limit(timeout_seconds);
  waiters_.fetch_add(1);
  bool in_time = true;
  int misses = 0;
  while (!transfer.done.load(std::memory_order_acquire)) {
    bool moved = false;
    {
      const std::lock_guard lock(mutex_);
      moved = Pass();
    }
    misses = moved ? 0 : misses + 1;
    if (moved) continue;
    // Every time: on a busy machine a yield may take many milliseconds.
    const auto left = limit - (std::chrono::steady_clock::now() - start);
    if (left <= left.zero()) {
      in_time = transfer.done.load(std::memory_order_acquire);
      break;
    }
    Idle(misses, std::chrono::ceil<microseconds>(left));
  }
  waiters_.fetch_sub(1);
  return in_time;
}

bool Engine::Drain(double timeout_seconds) {
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      Pass();
      if (active_.empty()) return true;
    }
    if (std::chrono::steady_clock::now() - start >= std::chrono::duration<double>(timeout_seconds))
      return false;
    std::this_thread::yield();
  }
}

}  // namespace orthant::mpi
