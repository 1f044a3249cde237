// Operations as calls of NCCL. What NCCL has no collective for is a group of sends and receives, which run at
// the same time.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "comm/nccl_lane.h"
#include "orthant/comm/communicator.h"

namespace orthant::nccl {
namespace {

// NCCL takes 2048 calls in a group; a round of an all-to-all is two a peer.
constexpr int kPeersOfCall = 512;

NcclType TypeOf(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Double:
      return NcclType::kFloat64;
    case c10::ScalarType::Float:
      return NcclType::kFloat32;
    case c10::ScalarType::BFloat16:
      return NcclType::kBfloat16;
    case c10::ScalarType::Half:
      return NcclType::kFloat16;
    case c10::ScalarType::Long:
      return NcclType::kInt64;
    default:
      throw CommError(absl::StrFormat("NCCL carries no %s", DtypeName(dtype)));
  }
}

NcclReduction ReductionOf(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return NcclReduction::kSum;
    case ReduceOp::kMax:
      return NcclReduction::kMax;
    case ReduceOp::kMin:
      return NcclReduction::kMin;
  }
  return NcclReduction::kSum;
}

// Sends and receives between group_start and group_end. After an error the rest is left out, but the group
// is ended: the library counts them for this thread.
class Group {
 public:
  Group(const NcclTable& nccl, c10::ScalarType dtype, NcclComm* comm, DeviceStream* stream)
      : nccl_(nccl),
        type_(TypeOf(dtype)),
        size_(static_cast<int64_t>(c10::elementSize(dtype))),
        comm_(comm),
        stream_(stream) {
    Note(nccl_.group_start(nccl_.self));
  }

  void Send(const void* from, int64_t offset, int64_t count, int peer) {
    if (count == 0 || failed_ != NcclResult::kSuccess) return;
    Note(nccl_.send(nccl_.self, static_cast<const std::byte*>(from) + offset * size_,
                    static_cast<size_t>(count), type_, peer, comm_, stream_));
  }
  void Recv(void* to, int64_t offset, int64_t count, int peer) {
    if (count == 0 || failed_ != NcclResult::kSuccess) return;
    Note(nccl_.recv(nccl_.self, static_cast<std::byte*>(to) + offset * size_, static_cast<size_t>(count),
                    type_, peer, comm_, stream_));
  }
  NcclResult End() {
    const NcclResult end = nccl_.group_end(nccl_.self);
    return failed_ == NcclResult::kSuccess ? end : failed_;
  }

 private:
  void Note(NcclResult result) {
    // Inside a group "in progress" says no more than that the group has not ended.
    if (result != NcclResult::kSuccess && result != NcclResult::kInProgress) failed_ = result;
  }

  const NcclTable& nccl_;
  NcclType type_;
  int64_t size_;
  NcclComm* comm_;
  DeviceStream* stream_;
  NcclResult failed_ = NcclResult::kSuccess;
};

int64_t Before(const std::vector<int64_t>& counts, int peer) {
  int64_t sum = 0;
  for (int i = 0; i < peer; ++i) sum += counts[static_cast<size_t>(i)];
  return sum;
}

// Peers at the distances of this call: at each, one send and one receive, which are each other's.
NcclResult PostAllToAll(const NcclTable& nccl, const Operation& op, int index, int rank, int size,
                        NcclComm* comm, DeviceStream* stream) {
  Group group(nccl, op.dtype, comm, stream);
  for (int distance = index * kPeersOfCall; distance < std::min(size, (index + 1) * kPeersOfCall);
       ++distance) {
    const int to = (rank + distance) % size;
    const int from = (rank - distance + size) % size;
    if (op.kind == OpKind::kAllToAll) {
      group.Send(op.input, to * op.count, op.count, to);
      group.Recv(op.output, from * op.count, op.count, from);
    } else {
      group.Send(op.input, Before(*op.input_counts, to), (*op.input_counts)[static_cast<size_t>(to)], to);
      group.Recv(op.output, Before(*op.output_counts, from), (*op.output_counts)[static_cast<size_t>(from)],
                 from);
    }
  }
  return group.End();
}

NcclResult PostRooted(const NcclTable& nccl, const Operation& op, int index, int rank, int size,
                      NcclComm* comm, DeviceStream* stream) {
  const bool scatter = op.kind == OpKind::kScatter;
  Group group(nccl, op.dtype, comm, stream);
  const int end = std::min(size, (index + 1) * kPeersOfCall);
  for (int peer = index * kPeersOfCall; peer < end; ++peer) {
    if (rank == op.peer) {
      scatter ? group.Send(op.input, peer * op.count, op.count, peer)
              : group.Recv(op.output, peer * op.count, op.count, peer);
    }
    if (rank == peer) {
      scatter ? group.Recv(op.output, 0, op.count, op.peer) : group.Send(op.input, 0, op.count, op.peer);
    }
  }
  return group.End();
}

}  // namespace

bool Moves(const Operation& op) {
  if (op.kind == OpKind::kBarrier) return false;
  if (op.kind != OpKind::kAllToAllSplit) return op.count != 0;
  const auto some = [](int64_t count) { return count != 0; };
  return std::any_of(op.input_counts->begin(), op.input_counts->end(), some) ||
         std::any_of(op.output_counts->begin(), op.output_counts->end(), some);
}

int CallsOf(const Operation& op, int size) {
  switch (op.kind) {
    case OpKind::kAllToAll:
    case OpKind::kAllToAllSplit:
    case OpKind::kScatter:
    case OpKind::kGather:
      return (size + kPeersOfCall - 1) / kPeersOfCall;
    default:
      return 1;
  }
}

NcclResult PostCall(const NcclTable& nccl, const Operation& op, int index, int rank, int size, NcclComm* comm,
                    DeviceStream* stream) {
  const NcclType type = TypeOf(op.dtype);
  const auto count = static_cast<size_t>(op.count);
  switch (op.kind) {
    case OpKind::kAllReduce:
      return nccl.all_reduce(nccl.self, op.input, op.output, count, type, ReductionOf(op.reduce), comm,
                             stream);
    case OpKind::kReduce:
      // Elsewhere the tensor must stay as it was: no place to write.
      return nccl.reduce(nccl.self, op.input, rank == op.peer ? op.output : nullptr, count, type,
                         ReductionOf(op.reduce), op.peer, comm, stream);
    case OpKind::kBroadcast:
      return nccl.broadcast(nccl.self, op.input, op.output, count, type, op.peer, comm, stream);
    case OpKind::kAllGather:
      return nccl.all_gather(nccl.self, op.input, op.output, count, type, comm, stream);
    case OpKind::kReduceScatter:
      return nccl.reduce_scatter(nccl.self, op.input, op.output, count, type, ReductionOf(op.reduce), comm,
                                 stream);
    case OpKind::kAllToAll:
    case OpKind::kAllToAllSplit:
      return PostAllToAll(nccl, op, index, rank, size, comm, stream);
    case OpKind::kScatter:
    case OpKind::kGather:
      return PostRooted(nccl, op, index, rank, size, comm, stream);
    case OpKind::kSend:
      return nccl.send(nccl.self, op.input, count, type, op.peer, comm, stream);
    case OpKind::kRecv:
      return nccl.recv(nccl.self, op.output, count, type, op.peer, comm, stream);
    case OpKind::kBarrier:
      break;
  }
  return NcclResult::kInvalidUsage;
}

std::string CheckKey(const Lane& lane, bool from_receiver) {
  return lane.key + (from_receiver ? " receiver calls" : " sender calls");
}

std::string Describe(const Flight& flight) {
  return absl::StrFormat("%s.%s seq=%d on rank %d of %d", flight.lane->group, Describe(flight.op),
                         flight.op.sequence, flight.lane->rank, flight.lane->size);
}

}  // namespace orthant::nccl
