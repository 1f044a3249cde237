#include "comm/nccl_context.h"

#include <pthread.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace orthant::nccl {

// NCCL carries a call out in some ten microseconds, a new communicator takes up to seconds.
void Pause(int round) {
  if (round < 100) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(round < 1000 ? 20 : 500));
  }
}

double SecondsSince(Clock::time_point time) {
  return std::chrono::duration<double>(Clock::now() - time).count();
}

EventPool::~EventPool() {
  for (DeviceEvent* event : spare_) device_.destroy_event(device_.self, event);
}

Event EventPool::Take() {
  DeviceEvent* event = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      event = spare_.back();
      spare_.pop_back();
    }
  }
  if (event == nullptr) {
    if (const int code = device_.create_event(device_.self, &event); code != 0) {
      throw CommError(absl::StrCat("cudaEventCreate: ", device_.error_text(device_.self, code)));
    }
  }
  return {event, [pool = shared_from_this()](DeviceEvent* used) {
            const std::lock_guard lock(pool->mutex_);
            pool->spare_.push_back(used);
          }};
}

Context::Context(const NcclTable& nccl, const DeviceTable& device, std::shared_ptr<FlightRecorder> recorder,
                 std::unique_ptr<Letters> letters, Report report, double poll_seconds)
    : nccl_(nccl),
      device_(device),
      recorder_(std::move(recorder)),
      letters_(std::move(letters)),
      report_(std::move(report)),
      poll_seconds_(poll_seconds),
      events_(std::make_shared<EventPool>(device)) {
  CheckDevice(device_.current_device(device_.self, &device_index_), "cudaGetDevice");
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "nccl watchdog");
    ThreadMain();
  });
}

Context::~Context() {
  {
    const Lock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Context::CheckNccl(NcclResult result, const char* call, NcclComm* comm) const {
  if (result == NcclResult::kSuccess || result == NcclResult::kInProgress) return;
  const char* last = nccl_.get_last_error(nccl_.self, comm);
  std::string text = absl::StrCat(call, ": ", nccl_.get_error_string(nccl_.self, result));
  if (last != nullptr && *last != '\0') absl::StrAppend(&text, " (", last, ")");
  throw CommError(text);
}

void Context::CheckDevice(int code, const char* call) const {
  if (code != 0) throw CommError(absl::StrCat(call, ": ", device_.error_text(device_.self, code)));
}

void Context::Record(Event* event, DeviceStream* stream) {
  *event = events_->Take();
  CheckDevice(device_.record_event(device_.self, event->get(), stream), "cudaEventRecord");
}

NcclResult Context::StateOf(Lane* lane) const {
  NcclResult state = NcclResult::kSuccess;
  CheckNccl(nccl_.comm_get_async_error(nccl_.self, lane->comm, &state), "ncclCommGetAsyncError", lane->comm);
  CheckNccl(state, "ncclCommGetAsyncError", lane->comm);
  return state;
}

void Context::Call(Lane* lane, const char* what, absl::FunctionRef<NcclResult()> call) {
  const Clock::time_point begin = Clock::now();
  Lock lock(mutex_);
  if (failed()) throw CommError("given up");
  NcclResult state = call();
  CheckNccl(state, what, lane->comm);
  for (int round = 0; state == NcclResult::kInProgress; ++round) {
    lock.unlock();
    Pause(round);
    lock.lock();
    // Aborted by the watchdog: the communicator is gone.
    if (failed()) throw CommError("given up");
    state = StateOf(lane);
    if (state == NcclResult::kInProgress && SecondsSince(begin) > recorder_->timeout()) {
      throw Late(absl::StrFormat("%s is still in progress after %.3g s", what, recorder_->timeout()));
    }
  }
}

// Behind the events of the current stream, between two events of the lane's. An event recorded before NCCL
// has carried out its call would stand before the operation.
void Context::Launch(const std::shared_ptr<Flight>& flight) {
  Lane* const lane = flight->lane.get();
  Operation op = flight->op;
  int rank = lane->rank;
  int size = lane->size;
  if (op.point_to_point()) {  // the sender is rank 0 of two
    rank = lane->sender ? 0 : 1;
    size = 2;
    op.peer = 1 - rank;
  }
  {
    const Lock lock(mutex_);
    if (failed()) throw CommError("given up");
    CheckDevice(device_.stream_wait(device_.self, lane->stream, flight->ready.get()), "cudaStreamWaitEvent");
    Record(&flight->start, lane->stream);
  }
  for (int index = 0; index < CallsOf(op, size); ++index) {
    Call(lane, ToString(op.kind),
         [&] { return PostCall(nccl_, op, index, rank, size, lane->comm, lane->stream); });
  }
  const Lock lock(mutex_);
  Record(&flight->end, lane->stream);
  Follow(flight);
}

void Context::Follow(const std::shared_ptr<Flight>& flight) {
  if (!flight->captured) {
    flight->phase = Phase::kIssued;
    flight->lane->flights.push_back(flight);
    return;
  }
  // The graph's memory is its owner's, and its events cannot be asked.
  flight->phase = Phase::kDone;
  recorder_->Mark(flight->op.ticket, FlightState::kDone);
}

std::shared_ptr<Flight> Context::Issue(const std::shared_ptr<Lane>& lane, const Operation& op,
                                       const at::Tensor& output, const at::Tensor& input) {
  auto flight = std::make_shared<Flight>();
  flight->lane = lane;
  flight->op = op;
  flight->output = output;
  flight->input = input;
  flight->since = Clock::now();
  if (op.kind == OpKind::kAllToAllSplit) {
    flight->input_counts = *op.input_counts;
    flight->output_counts = *op.output_counts;
    flight->op.input_counts = &flight->input_counts;
    flight->op.output_counts = &flight->output_counts;
  }
  const std::lock_guard issuing(issuing_);
  try {
    bool open = true;
    {
      const Lock lock(mutex_);
      if (failed()) throw CommError("given up");
      Reap(lane.get());
      DeviceStream* current = device_.current_stream(device_.self);
      flight->captured = device_.capturing(device_.self, current);
      Record(&flight->ready, current);
      flight->agreed = !lane->check;
      open = lane->opening == Opening::kOpen && flight->agreed;
      if (!open && flight->captured) {
        throw CommError(
            "a first message, or one that is checked, cannot be captured into a graph: run a step before");
      }
      if (lane->check) letters_->Post(lane->peer_world_rank, CheckKey(*lane, !lane->sender), Describe(op));
      if (!open) lane->waiting.push_back(flight);
    }
    if (open) {
      Launch(flight);
    } else {
      AdvanceAll();
    }
  } catch (const CommError& error) {
    Fail(flight, error);
    GiveUp(flight.get());
  }
  return flight;
}

void Context::Wait(const std::shared_ptr<Flight>& flight) {
  for (int round = 0;; ++round) {
    {
      const Lock lock(mutex_);
      if (failed() || flight->phase != Phase::kPending) break;
    }
    // Only a message whose lane is not open yet: its peer has not come.
    recorder_->SetWaiting(flight->op.ticket);
    if (SecondsSince(flight->since) > recorder_->timeout()) {
      Fail(flight, absl::StrFormat("waited %.3g s for its peer", recorder_->timeout()), /*late=*/true);
      break;
    }
    Pause(round);
    const std::lock_guard issuing(issuing_);
    AdvanceAll();
  }
  Event end;
  {
    const Lock lock(mutex_);
    if (flight->phase == Phase::kDone && !flight->captured) return;
    if (!failed() && flight->phase != Phase::kFailed) end = flight->end;
    // Until it is seen to be done, this is what the rank's stream waits for.
    if (end != nullptr && !flight->captured) recorder_->SetWaiting(flight->op.ticket);
  }
  if (end == nullptr) GiveUp(flight.get());
  try {
    CheckDevice(device_.stream_wait(device_.self, device_.current_stream(device_.self), end.get()),
                "cudaStreamWaitEvent");
    const Lock lock(mutex_);
    if (!failed()) Reap(flight->lane.get());
  } catch (const CommError& error) {
    Fail(flight, error);
  }
  bool given_up = false;
  {
    const Lock lock(mutex_);
    given_up = flight->phase == Phase::kFailed || (failed() && flight->phase != Phase::kDone);
    if (!given_up) {
      // Whoever gets this memory next uses it behind the wait.
      flight->output = at::Tensor();
      flight->input = at::Tensor();
    }
  }
  if (given_up) GiveUp(flight.get());
}

}  // namespace orthant::nccl
