// How lanes begin and end. A group's lane is made by all members together. A lane of messages is made when
// each end calls its first message, which may be at any time: nobody waits for the other with its thread.
#include <cstring>
#include <exception>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "comm/nccl_context.h"

namespace orthant::nccl {

NcclUniqueId Context::NewId() {
  const Lock lock(mutex_);
  NcclUniqueId id;
  CheckNccl(nccl_.get_unique_id(nccl_.self, &id), "ncclGetUniqueId", nullptr);
  return id;
}

std::shared_ptr<Lane> Context::NewLane(Lane lane) {
  auto made = std::make_shared<Lane>(std::move(lane));
  CheckDevice(device_.create_stream(device_.self, &made->stream), "cudaStreamCreateWithPriority");
  return made;
}

void Context::Join(Lane* lane, const NcclUniqueId& id, int rank, int size) {
  const Lock lock(mutex_);
  if (failed()) throw CommError("given up");
  NcclConfig config;
  config.name = lane->group.c_str();
  CheckNccl(nccl_.comm_init_rank_config(nccl_.self, &lane->comm, size, id, rank, config),
            "ncclCommInitRankConfig", nullptr);
}

// Until the communicator can be used. Of one split off, the parent must be asked first: the child is there
// only afterwards.
void Context::Await(const std::shared_ptr<Lane>& lane, NcclComm* parent) {
  const Clock::time_point begin = Clock::now();
  for (int round = 0;; ++round) {
    {
      const Lock lock(mutex_);
      if (failed()) throw CommError("given up");
      if (parent != nullptr) {
        NcclResult state = NcclResult::kSuccess;
        CheckNccl(nccl_.comm_get_async_error(nccl_.self, parent, &state), "ncclCommGetAsyncError", parent);
        CheckNccl(state, "ncclCommSplit", parent);
        if (state == NcclResult::kSuccess) parent = nullptr;
      }
      if (parent == nullptr && StateOf(lane.get()) == NcclResult::kSuccess) {
        lanes_.push_back(lane);
        return;
      }
    }
    if (SecondsSince(begin) > recorder_->timeout()) {
      throw Late(absl::StrFormat("the other ranks did not come within %.3g s", recorder_->timeout()));
    }
    Pause(round);
  }
}

std::shared_ptr<Lane> Context::OpenGroup(const std::string& group, int rank, int size,
                                         const NcclUniqueId& id) {
  std::shared_ptr<Lane> lane;
  const std::lock_guard issuing(issuing_);
  try {
    lane = NewLane({.group = group, .rank = rank, .size = size});
    Join(lane.get(), id, rank, size);
    Await(lane, nullptr);
  } catch (const CommError& error) {
    Fail(nullptr, CommError(absl::StrFormat("making the communicator of group %s on rank %d of %d: %s", group,
                                            rank, size, error.what())));
    if (lane != nullptr) Abort({lane});
    GiveUp(nullptr);
  }
  return lane;
}

std::shared_ptr<Lane> Context::OpenTwin(const std::string& group, Lane* parent) {
  std::shared_ptr<Lane> lane;
  const std::lock_guard issuing(issuing_);
  try {
    lane = NewLane({.group = group, .rank = parent->rank, .size = parent->size});
    NcclComm* comm = nullptr;
    {
      const Lock lock(mutex_);
      if (failed()) throw CommError("given up");
      comm = parent->comm;
      NcclConfig config;
      config.name = lane->group.c_str();
      CheckNccl(nccl_.comm_split(nccl_.self, comm, 0, parent->rank, &lane->comm, config), "ncclCommSplit",
                comm);
    }
    Await(lane, comm);
  } catch (const CommError& error) {
    Fail(nullptr, CommError(absl::StrFormat("splitting off the communicator of group %s on rank %d of %d: %s",
                                            group, parent->rank, parent->size, error.what())));
    if (lane != nullptr) Abort({lane});
    GiveUp(nullptr);
  }
  return lane;
}

std::shared_ptr<Lane> Context::OpenMessages(Lane given) {
  const std::lock_guard issuing(issuing_);
  try {
    const std::shared_ptr<Lane> lane = NewLane(given);
    lane->greeting = device_.one_element(device_.self);
    Record(&lane->greeting_ready, device_.current_stream(device_.self));
    lane->opening = Opening::kWantsId;
    if (lane->sender) {
      const NcclUniqueId id = NewId();
      letters_->Post(lane->peer_world_rank, lane->key, std::string(id.bytes, sizeof(id.bytes)));
      Join(lane.get(), id, 0, 2);
      lane->opening = Opening::kJoining;
    }
    const Lock lock(mutex_);
    lanes_.push_back(lane);
    wake_.notify_all();  // it looks more often now
    return lane;
  } catch (const CommError& error) {
    Fail(nullptr, CommError(absl::StrFormat("opening messages of group %s on rank %d of %d: %s", given.group,
                                            given.rank, given.size, error.what())));
    GiveUp(nullptr);
  }
}

std::shared_ptr<Flight> Context::FirstWaiting(Lane* lane) {
  const Lock lock(mutex_);
  return lane->waiting.empty() ? nullptr : lane->waiting.front();
}

void Context::Greet(Lane* lane) {
  CheckDevice(device_.stream_wait(device_.self, lane->stream, lane->greeting_ready.get()),
              "cudaStreamWaitEvent");
  void* data = lane->greeting.data_ptr();
  CheckNccl(lane->sender ? nccl_.send(nccl_.self, data, 1, NcclType::kFloat32, 1, lane->comm, lane->stream)
                         : nccl_.recv(nccl_.self, data, 1, NcclType::kFloat32, 0, lane->comm, lane->stream),
            lane->sender ? "ncclSend" : "ncclRecv", lane->comm);
}

void Context::Advance(const std::shared_ptr<Lane>& lane) {
  // Whether or not the lane is open: a peer that has found a difference no longer opens it.
  if (const std::shared_ptr<Flight> first = FirstWaiting(lane.get())) Agreed(first.get());
  if (lane->opening == Opening::kWantsId) {
    const std::optional<std::string> text = letters_->Take(lane->peer_world_rank, lane->key);
    if (!text.has_value()) return;
    NcclUniqueId id;
    std::memcpy(id.bytes, text->data(), std::min(text->size(), sizeof(id.bytes)));
    Join(lane.get(), id, 1, 2);
    const Lock lock(mutex_);
    lane->opening = Opening::kJoining;
  }
  {
    const Lock lock(mutex_);
    if (failed()) return;
    for (const Opening next : {Opening::kConnecting, Opening::kOpen}) {
      if (static_cast<int>(lane->opening) + 1 != static_cast<int>(next)) continue;
      if (StateOf(lane.get()) == NcclResult::kInProgress) return;
      if (next == Opening::kConnecting) Greet(lane.get());
      lane->opening = next;
    }
  }
  while (const std::shared_ptr<Flight> first = FirstWaiting(lane.get())) {
    if (!Agreed(first.get())) return;
    Launch(first);
    const Lock lock(mutex_);
    if (!lane->waiting.empty()) lane->waiting.pop_front();
  }
}

// comm.check: whether the peer has said that it calls the same; throws when it calls something else.
bool Context::Agreed(Flight* flight) {
  if (flight->agreed) return true;
  const Lane& lane = *flight->lane;
  const std::optional<std::string> text = letters_->Take(lane.peer_world_rank, CheckKey(lane, lane.sender));
  if (!text.has_value()) return false;
  const std::string own = Describe(flight->op);
  constexpr size_t kKind = 4;  // "send", "recv"
  if (own.substr(kKind) != text->substr(kKind)) {
    throw CommError(absl::StrFormat("rank %d calls %s to rank %d, which calls %s (message %d)",
                                    lane.sender ? lane.rank : lane.peer, lane.sender ? own : *text,
                                    lane.sender ? lane.peer : lane.rank, lane.sender ? *text : own,
                                    flight->op.sequence));
  }
  const Lock lock(mutex_);
  flight->agreed = true;
  return true;
}

void Context::AdvanceAll() {
  std::vector<std::shared_ptr<Lane>> opening;
  {
    const Lock lock(mutex_);
    for (const std::shared_ptr<Lane>& lane : lanes_) {
      if (lane->opening != Opening::kOpen || !lane->waiting.empty()) opening.push_back(lane);
    }
  }
  for (const std::shared_ptr<Lane>& lane : opening) {
    try {
      Advance(lane);
    } catch (const CommError& error) {
      return Fail(FirstWaiting(lane.get()), error);
    }
  }
}

bool Context::Drain(const std::vector<std::shared_ptr<Lane>>& lanes) {
  for (int round = 0;; ++round) {
    {
      const std::lock_guard issuing(issuing_);
      AdvanceAll();
    }
    bool empty = true;
    {
      const Lock lock(mutex_);
      if (failed()) return false;
      for (const std::shared_ptr<Lane>& lane : lanes) {
        Reap(lane.get());
        empty = empty && lane->flights.empty() && lane->waiting.empty() && lane->opening == Opening::kOpen;
      }
    }
    if (empty) return true;
    Pause(round);  // the watchdog sees to the deadline
  }
}

// Of all at once: two ranks may hold the same lanes in another order.
void Context::Finalize(const std::vector<std::shared_ptr<Lane>>& lanes) {
  const std::lock_guard issuing(issuing_);
  for (const std::shared_ptr<Lane>& lane : lanes) {
    const Lock lock(mutex_);
    if (failed()) return;
    CheckNccl(nccl_.comm_finalize(nccl_.self, lane->comm), "ncclCommFinalize", lane->comm);
  }
  const Clock::time_point begin = Clock::now();
  for (const std::shared_ptr<Lane>& lane : lanes) {
    for (int round = 0;; ++round) {
      {
        const Lock lock(mutex_);
        if (failed()) return;
        if (StateOf(lane.get()) == NcclResult::kSuccess) {
          NcclComm* const comm = lane->comm;
          lane->comm = nullptr;
          CheckNccl(nccl_.comm_destroy(nccl_.self, comm), "ncclCommDestroy", nullptr);
          break;
        }
      }
      if (SecondsSince(begin) > recorder_->timeout()) {
        throw Late(absl::StrFormat("the other ranks of group %s did not end it within %.3g s", lane->group,
                                   recorder_->timeout()));
      }
      Pause(round);
    }
  }
}

void Context::Forget(const std::vector<std::shared_ptr<Lane>>& lanes) {
  const Lock lock(mutex_);
  for (const std::shared_ptr<Lane>& lane : lanes) {
    std::erase(lanes_, lane);
    device_.destroy_stream(device_.self, lane->stream);
  }
}

void Context::Close(const std::vector<std::shared_ptr<Lane>>& lanes) {
  try {
    if (std::uncaught_exceptions() > 0) {
      Abort(lanes);  // the others may never come
    } else if (Drain(lanes)) {
      Finalize(lanes);
    }
  } catch (const CommError& error) {
    Fail(nullptr, error);
  }
  Forget(lanes);
}

}  // namespace orthant::nccl
