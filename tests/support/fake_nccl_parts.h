// The insides of FakeNccl: communicators, the calls on them, and what the calls do to memory.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/fake_nccl.h"

namespace orthant::testing {

enum class FakeCall { kAllReduce, kReduce, kBroadcast, kAllGather, kReduceScatter, kSend, kRecv };
const char* ToString(FakeCall call);
size_t SizeOf(NcclType type);

struct FakePart {
  FakeCall call = FakeCall::kSend;
  const void* send = nullptr;
  void* receive = nullptr;
  size_t count = 0;
  NcclType type = NcclType::kFloat32;
  NcclReduction reduction = NcclReduction::kSum;
  int peer = -1;  // or root
  FakeComm* comm = nullptr;
  DeviceStream* stream = nullptr;
  bool done = false;

  bool message() const { return call == FakeCall::kSend || call == FakeCall::kRecv; }
  // What all members of a collective must agree on, and both ends of a message, but for the call itself.
  bool Agrees(const FakePart& other) const {
    return call == other.call && count == other.count && type == other.type && reduction == other.reduction &&
           peer == other.peer;
  }
};

struct FakeCore {
  int id = 0;
  int size = 0;
  std::string name;
  std::vector<FakeComm*> members;       // by rank; null until it has joined
  std::set<std::array<int, 3>> called;  // sender, receiver, 1 for the sender's end: those are connected
  std::map<uint64_t, std::vector<FakePart*>> collectives;      // by number, those that stand in their streams
  std::map<std::pair<int, int>, std::deque<FakePart*>> sends;  // by sender and receiver
  std::map<std::pair<int, int>, std::deque<FakePart*>> receives;
};

struct FakeComm {
  FakeNccl* all = nullptr;
  FakeCore* core = nullptr;
  int rank = 0;                    // in the communicator
  int device = 0;                  // rank in the cluster
  int polls = 0;                   // answers of "in progress" left
  std::vector<FakePart> starting;  // called, not yet in the stream
  bool in_group = false;           // they were called between group_start and group_end
  uint64_t collectives = 0;
  int kernels = 0;  // in their streams, not over
  bool sent_alone = false;
  bool received_alone = false;
  bool failed = false;
  bool aborted = false;
  bool finalizing = false;
  bool destroyed = false;
  // A split that is under way: color and key that this rank asked for, its child, and where that goes.
  std::optional<std::array<int, 2>> split;
  std::string split_name;
  FakeComm* made = nullptr;
  NcclComm** child = nullptr;
};

// Carries a collective out on the parts of all members, by rank; a sum starts at another rank for each
// element and is rounded at every hop, as in a ring.
void MoveCollective(const std::vector<FakePart*>& parts);
void MoveMessage(const FakePart& send, const FakePart& receive);

}  // namespace orthant::testing
