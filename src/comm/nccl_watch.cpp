// What happens to operations once they are in their streams: states from events, deadlines, errors that the
// library finds by itself, and the end of everything at the first failure.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "comm/nccl_context.h"

namespace orthant::nccl {
namespace {

constexpr double kOpeningPoll = 0.001;  // seconds between two looks while a lane of messages is being opened
constexpr double kLongWait = 0.5;       // a rank whose device waits so long is said to wait

}  // namespace

void Context::ThreadMain() {
  device_.set_device(device_.self, device_index_);
  Lock lock(mutex_);
  while (!stop_) {
    const double seconds = AnyOpening() ? kOpeningPoll : poll_seconds_;
    wake_.wait_for(lock, std::chrono::duration<double>(seconds));
    if (stop_ || failed()) continue;
    lock.unlock();
    Tick();
    lock.lock();
  }
}

void Context::Tick() {
  // Else the rank's thread issues, and looks after them itself.
  if (std::unique_lock issuing(issuing_, std::try_to_lock); issuing.owns_lock()) AdvanceAll();
  Trouble trouble;
  {
    const Lock lock(mutex_);
    if (failed()) return;
    trouble = LookAround();
  }
  if (!trouble.text.empty()) Fail(trouble.flight, trouble.text, trouble.late);
}

Context::Trouble Context::LookAround() {
  for (const std::shared_ptr<Lane>& lane : lanes_) {
    try {
      Reap(lane.get());
      if (lane->comm != nullptr) StateOf(lane.get());
    } catch (const CommError& error) {
      if (!lane->flights.empty()) return {lane->flights.front(), error.what(), false};
      return {nullptr, absl::StrCat("group ", lane->group, ": ", error.what()), false};
    }
  }
  NoteWaiting();
  return FindLate();
}

bool Context::AnyOpening() const {
  return std::any_of(lanes_.begin(), lanes_.end(), [](const std::shared_ptr<Lane>& lane) {
    return lane->opening != Opening::kOpen || !lane->waiting.empty();
  });
}

void Context::Reap(Lane* lane) {
  while (!lane->flights.empty()) {
    const std::shared_ptr<Flight> flight = lane->flights.front();
    bool reached = false;
    if (flight->phase == Phase::kIssued) {
      CheckDevice(device_.query_event(device_.self, flight->start.get(), &reached), "cudaEventQuery");
      if (!reached) return;
      flight->phase = Phase::kStarted;
      flight->since = Clock::now();
      recorder_->Mark(flight->op.ticket, FlightState::kStarted);
    }
    CheckDevice(device_.query_event(device_.self, flight->end.get(), &reached), "cudaEventQuery");
    if (!reached) return;
    lane->flights.pop_front();
    Over(flight.get(), Phase::kDone);
  }
}

void Context::Over(Flight* flight, Phase phase) {
  flight->phase = phase;
  recorder_->Mark(flight->op.ticket, phase == Phase::kDone ? FlightState::kDone : FlightState::kFailed);
  flight->output = at::Tensor();
  flight->input = at::Tensor();
}

Context::Trouble Context::FindLate() const {
  const double limit = recorder_->timeout();
  for (const std::shared_ptr<Lane>& lane : lanes_) {
    if (!lane->flights.empty()) {
      const std::shared_ptr<Flight>& first = lane->flights.front();
      if (first->phase == Phase::kStarted && SecondsSince(first->since) > limit) {
        return {first, absl::StrFormat("waited %.3g s for its peers", limit), true};
      }
    }
    if (!lane->waiting.empty() && SecondsSince(lane->waiting.front()->since) > limit) {
      return {lane->waiting.front(), absl::StrFormat("waited %.3g s for its peer", limit), true};
    }
  }
  return {};
}

// A rank's thread goes on while its device waits: a verdict must know what for.
void Context::NoteWaiting() const {
  if (recorder_->waiting() != 0) return;
  const Flight* longest = nullptr;
  for (const std::shared_ptr<Lane>& lane : lanes_) {
    if (lane->flights.empty() || lane->flights.front()->phase != Phase::kStarted) continue;
    const Flight* first = lane->flights.front().get();
    if (longest == nullptr || first->since < longest->since) longest = first;
  }
  if (longest != nullptr && SecondsSince(longest->since) > kLongWait) {
    recorder_->SetWaiting(longest->op.ticket);
  }
}

void Context::Fail(const std::shared_ptr<Flight>& flight, const CommError& error) {
  Fail(flight, error.what(), dynamic_cast<const Late*>(&error) != nullptr);
}

void Context::Fail(const std::shared_ptr<Flight>& flight, const std::string& text, bool late) {
  std::vector<std::shared_ptr<Lane>> lanes;
  std::string message;
  {
    const Lock lock(mutex_);
    if (failed()) return;
    failure_ = flight == nullptr ? text : absl::StrCat(Describe(*flight), ": ", text);
    message = failure_;
    late_ = late;
    culprit_ = flight;
    if (flight != nullptr) recorder_->SetWaiting(flight->op.ticket);
    lanes = lanes_;
  }
  wake_.notify_all();
  // The verdict first: it needs the records as they are now.
  report_(late ? "" : message);
  Abort(lanes);
}

void Context::Abort(const std::vector<std::shared_ptr<Lane>>& lanes) {
  std::vector<NcclComm*> comms;
  {
    const Lock lock(mutex_);
    for (const std::shared_ptr<Lane>& lane : lanes) {
      if (lane->comm != nullptr) comms.push_back(lane->comm);
      lane->comm = nullptr;
    }
  }
  // Together: one alone would wait for its kernels to end, and these may be behind another's that do not.
  nccl_.group_start(nccl_.self);
  for (NcclComm* comm : comms) nccl_.comm_abort(nccl_.self, comm);
  nccl_.group_end(nccl_.self);
  const Lock lock(mutex_);
  for (const std::shared_ptr<Lane>& lane : lanes) {
    for (const std::shared_ptr<Flight>& flight : lane->flights) Over(flight.get(), Phase::kFailed);
    for (const std::shared_ptr<Flight>& flight : lane->waiting) Over(flight.get(), Phase::kFailed);
    lane->flights.clear();
    lane->waiting.clear();
  }
}

// While the watchdogs of the job come to their verdict the rank must not add an error of its own.
void Context::GiveUp(const Flight* flight) {
  std::string failure;
  std::string own;
  bool late = false;
  {
    const Lock lock(mutex_);
    failure = failure_;
    late = late_;
    if (flight != nullptr && flight != culprit_.get()) own = Describe(*flight);
  }
  report_(late ? "" : failure);
  if (failure.empty()) failure = "its group has ended";
  throw CommError(own.empty() ? failure : absl::StrCat(own, " was given up: ", failure));
}

}  // namespace orthant::nccl
