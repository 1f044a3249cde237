#include "support/fake_nccl_calls.h"

#include <cstring>

#include "support/fake_nccl_parts.h"

namespace orthant::testing {
namespace {

FakeComm* Back(NcclComm* comm) {
  return reinterpret_cast<FakeComm*>(comm);
}

}  // namespace

NcclResult FakeCalls::GetUniqueId(void* self, NcclUniqueId* id) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  const std::string text = "id " + std::to_string(all->ids_++);
  std::memcpy(id->bytes, text.c_str(), text.size() + 1);
  return NcclResult::kSuccess;
}

NcclResult FakeCalls::Init(void* self, NcclComm** comm, int ranks, const NcclUniqueId& id, int rank,
                           const NcclConfig& config) {
  FakeNccl* all = All(self);
  const int device = static_cast<Rank*>(self)->rank;
  const std::lock_guard lock(all->devices_.mutex());
  if (config.blocking) all->devices_.Violation("a communicator is made blocking: it cannot be given up");
  FakeCore*& core = all->by_id_[id.bytes];
  if (core == nullptr) core = all->NewCore(ranks, config.name);
  if (core->size != ranks || rank < 0 || rank >= ranks ||
      core->members[static_cast<size_t>(rank)] != nullptr) {
    all->devices_.Violation("rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                            " does not fit into " + core->name);
    return NcclResult::kInvalidArgument;
  }
  for (const FakeComm* member : core->members) {
    if (member != nullptr && member->device == device) return NcclResult::kInvalidUsage;  // duplicate GPU
  }
  FakeComm* made = all->Join(core, rank, device);
  *comm = reinterpret_cast<NcclComm*>(made);
  return all->StateOf(made);
}

NcclResult FakeCalls::Split(void* self, NcclComm* parent, int color, int key, NcclComm** child,
                            const NcclConfig& config) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  FakeComm* comm = Back(parent);
  if (!all->Usable(comm, "split")) return NcclResult::kInvalidUsage;
  comm->split = {color, key};
  comm->split_name = config.name;
  comm->child = child;
  comm->polls = all->options_.polls;
  all->FinishSplit(comm->core);
  return all->StateOf(comm);
}

NcclResult FakeCalls::GetAsyncError(void* self, NcclComm* comm, NcclResult* state) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  FakeComm* known = Back(comm);
  if (known->aborted || known->destroyed) {
    all->devices_.Violation("a communicator that is over is asked for its state");
    return NcclResult::kInvalidArgument;
  }
  *state = all->StateOf(known);
  if (known->device == all->options_.ignore_progress_on) *state = NcclResult::kSuccess;
  return NcclResult::kSuccess;
}

NcclResult FakeCalls::Abort(void* self, NcclComm* comm) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  FakeNccl::Group& group = all->groups_[std::this_thread::get_id()];
  if (group.depth > 0) {
    group.aborts.push_back(Back(comm));
  } else {
    all->Abort(Back(comm));
  }
  return NcclResult::kSuccess;
}

NcclResult FakeCalls::Finalize(void* self, NcclComm* comm) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  FakeComm* known = Back(comm);
  if (!all->Usable(known, "finalize")) return NcclResult::kInvalidUsage;
  known->finalizing = true;
  known->polls = all->options_.polls;
  return all->StateOf(known);
}

NcclResult FakeCalls::Destroy(void* self, NcclComm* comm) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  FakeComm* known = Back(comm);
  if (!known->finalizing || known->destroyed || known->kernels != 0) {
    all->devices_.Violation(known->core->name + " is destroyed before it is finalized and at rest");
  }
  known->destroyed = true;
  return NcclResult::kSuccess;
}

NcclResult FakeCalls::GroupStart(void* self) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  FakeNccl::Group& group = all->groups_[std::this_thread::get_id()];
  group.rank = static_cast<Rank*>(self)->rank;
  ++group.depth;
  return NcclResult::kSuccess;
}

// Groups nest; the outermost end starts them.
NcclResult FakeCalls::GroupEnd(void* self) {
  FakeNccl* all = All(self);
  const std::lock_guard lock(all->devices_.mutex());
  if (static_cast<Rank*>(self)->rank == all->options_.drop_group_end_on) return NcclResult::kSuccess;
  FakeNccl::Group& group = all->groups_[std::this_thread::get_id()];
  if (group.depth == 0) {
    all->devices_.Violation("a group is ended that was not started");
    return NcclResult::kInvalidUsage;
  }
  return --group.depth > 0 ? NcclResult::kSuccess : all->EndGroup(&group);
}

void FakeCalls::FillOperations(NcclTable* table) {
  static const auto add = [](void* self, const FakePart& part) {
    const std::lock_guard lock(All(self)->devices_.mutex());
    return All(self)->Add(part);
  };
  table->all_reduce = [](void* self, const void* send, void* receive, size_t count, NcclType type,
                         NcclReduction op, NcclComm* comm, DeviceStream* stream) {
    return add(self, {FakeCall::kAllReduce, send, receive, count, type, op, -1, Back(comm), stream});
  };
  table->reduce = [](void* self, const void* send, void* receive, size_t count, NcclType type,
                     NcclReduction op, int root, NcclComm* comm, DeviceStream* stream) {
    return add(self, {FakeCall::kReduce, send, receive, count, type, op, root, Back(comm), stream});
  };
  table->broadcast = [](void* self, const void* send, void* receive, size_t count, NcclType type, int root,
                        NcclComm* comm, DeviceStream* stream) {
    return add(self, {FakeCall::kBroadcast, send, receive, count, type, NcclReduction::kSum, root, Back(comm),
                      stream});
  };
  table->all_gather = [](void* self, const void* send, void* receive, size_t count, NcclType type,
                         NcclComm* comm, DeviceStream* stream) {
    return add(self, {FakeCall::kAllGather, send, receive, count, type, NcclReduction::kSum, -1, Back(comm),
                      stream});
  };
  table->reduce_scatter = [](void* self, const void* send, void* receive, size_t count, NcclType type,
                             NcclReduction op, NcclComm* comm, DeviceStream* stream) {
    return add(self, {FakeCall::kReduceScatter, send, receive, count, type, op, -1, Back(comm), stream});
  };
  table->send = [](void* self, const void* buffer, size_t count, NcclType type, int peer, NcclComm* comm,
                   DeviceStream* stream) {
    return add(
        self, {FakeCall::kSend, buffer, nullptr, count, type, NcclReduction::kSum, peer, Back(comm), stream});
  };
  table->recv = [](void* self, void* buffer, size_t count, NcclType type, int peer, NcclComm* comm,
                   DeviceStream* stream) {
    return add(
        self, {FakeCall::kRecv, nullptr, buffer, count, type, NcclReduction::kSum, peer, Back(comm), stream});
  };
}

NcclTable FakeCalls::Table(void* rank) {
  NcclTable table;
  table.self = rank;
  table.get_version = [](void*, int* version) {
    *version = 22809;
    return NcclResult::kSuccess;
  };
  table.get_unique_id = GetUniqueId;
  table.comm_init_rank_config = Init;
  table.comm_split = Split;
  table.comm_get_async_error = GetAsyncError;
  table.comm_abort = Abort;
  table.comm_finalize = Finalize;
  table.comm_destroy = Destroy;
  table.group_start = GroupStart;
  table.group_end = GroupEnd;
  FillOperations(&table);
  table.get_error_string = [](void*, NcclResult result) {
    return result == NcclResult::kRemoteError ? "remote process exited or there was a network error"
                                              : "invalid usage";
  };
  table.get_last_error = [](void*, NcclComm*) { return "the fake lost a connection"; };
  return table;
}

}  // namespace orthant::testing
