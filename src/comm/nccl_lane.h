// What the nccl backend has on the device: lanes (a communicator with a stream of its own) and flights (the
// operations in them). Plain data, which Context moves on.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "comm/nccl_table.h"
#include "orthant/comm/operation.h"

namespace orthant::nccl {

using Clock = std::chrono::steady_clock;

// Back to the pool it is from when the last copy goes.
using Event = std::shared_ptr<DeviceEvent>;

enum class Phase : uint8_t {
  kPending,  // a message whose lane is not open yet, or whose peer has not agreed
  kIssued,   // in the stream
  kStarted,  // the stream has come to it
  kDone,
  kFailed,
};

struct Lane;

// One operation on its way. Guarded by Context's mutex once it is in a lane.
struct Flight {
  std::shared_ptr<Lane> lane;
  Operation op;
  std::vector<int64_t> input_counts;  // all_to_all_split: our own copies
  std::vector<int64_t> output_counts;
  at::Tensor output;  // keep the memory until the device has ended, or the current stream waits for that
  at::Tensor input;
  Event ready;  // the current stream, when the operation was called
  Event start;  // the lane's stream, before and after it
  Event end;
  Phase phase = Phase::kPending;
  bool agreed = true;         // false: a message whose peer has not yet said what it calls (comm.check)
  bool captured = false;      // goes into a graph: runs whenever that is launched, and is not watched
  Clock::time_point since{};  // when it was called; from kStarted on, when that was seen
};

enum class Opening : uint8_t {
  kWantsId,     // the receiver waits for the sender's letter
  kJoining,     // both ends make the communicator
  kConnecting,  // a first message of one element: NCCL connects two ranks only then, and both must be there
  kOpen,
};

// A communicator and a stream. One carries a group's collectives; messages have one for each sender and
// receiver, so that none waits for another's peer.
struct Lane {
  std::string group{};  // whose operations these are, for messages to the user
  int rank = 0;
  int size = 1;
  NcclComm* comm = nullptr;  // null once aborted
  DeviceStream* stream = nullptr;
  std::deque<std::shared_ptr<Flight>> flights{};  // issued and not over, in the stream's order

  // Of a lane of messages.
  Opening opening = Opening::kOpen;
  bool sender = false;
  bool check = false;  // both ends say what they call before a message is issued
  int peer = -1;       // in the group
  int peer_world_rank = -1;
  std::string key{};      // of its letters
  at::Tensor greeting{};  // the first message, and when its memory can be used
  Event greeting_ready{};
  std::deque<std::shared_ptr<Flight>> waiting{};  // until it is open
};

// "tensor.all_reduce 'attn.out' (sum, 128 fp32) seq=7 on rank 1 of 4"
std::string Describe(const Flight& flight);

// Key of the letters that say what one end of a lane of messages calls: its receiver, or its sender.
std::string CheckKey(const Lane& lane, bool from_receiver);

// Whether the operation moves anything from or to this rank.
bool Moves(const Operation& op);

// An operation is one or more calls of NCCL, each of which may be a group of sends and receives. PostCall
// makes the `index`-th, and returns its result or the first error of its group. `rank`, `size`, and the
// operation's peer: of the communicator.
int CallsOf(const Operation& op, int size);
NcclResult PostCall(const NcclTable& nccl, const Operation& op, int index, int rank, int size, NcclComm* comm,
                    DeviceStream* stream);

}  // namespace orthant::nccl
