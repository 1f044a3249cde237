#include "support/fake_nccl.h"

#include <algorithm>

#include "support/fake_nccl_calls.h"
#include "support/fake_nccl_parts.h"

namespace orthant::testing {

// What one call, or one group of calls, has put into a stream.
class FakeParts : public FakeKernel {
 public:
  FakeParts(FakeNccl* all, FakeComm* comm, std::vector<FakePart> parts)
      : all_(all), comm_(comm), parts_(std::move(parts)) {
    if (!parts_[0].message()) number_ = comm->collectives++;
    ++comm->kernels;
  }

  bool hangs = false;
  bool fails = false;

  bool Poll() override {
    if (comm_->aborted) return true;  // it touches nothing any more
    if (fails) comm_->failed = true;
    if (hangs || comm_->failed) return false;
    if (!arrived_) Arrive();
    if (parts_[0].message()) {
      for (FakePart& part : parts_) Match(part);
    } else {
      Meet();
    }
    const auto done = [](const FakePart& part) { return part.done; };
    if (!std::all_of(parts_.begin(), parts_.end(), done)) return false;
    --comm_->kernels;
    return true;
  }

 private:
  void Arrive() {
    arrived_ = true;
    for (FakePart& part : parts_) {
      if (!part.message()) {
        comm_->core->collectives[number_].push_back(&part);
      } else if (part.call == FakeCall::kSend) {
        comm_->core->sends[{comm_->rank, part.peer}].push_back(&part);
      } else {
        comm_->core->receives[{part.peer, comm_->rank}].push_back(&part);
      }
    }
  }

  void CheckMemory(const FakePart& part) {
    const size_t bytes = part.count * SizeOf(part.type);
    const std::string who =
        std::string(ToString(part.call)) + " of rank " + std::to_string(part.comm->device);
    all_->devices_.CheckMemory(part.send, bytes, who);
    all_->devices_.CheckMemory(part.receive, bytes, who);
  }

  void Meet() {
    std::vector<FakePart*>& here = comm_->core->collectives[number_];
    if (static_cast<int>(here.size()) < comm_->core->size) return;
    std::sort(here.begin(), here.end(),
              [](const FakePart* a, const FakePart* b) { return a->comm->rank < b->comm->rank; });
    bool agree = true;
    for (const FakePart* part : here) {
      agree = agree && part->Agrees(*here[0]);
      CheckMemory(*part);
    }
    if (agree) {
      MoveCollective(here);
    } else {
      all_->devices_.Violation("the ranks of " + comm_->core->name + " disagree on a collective");
    }
    for (FakePart* part : here) part->done = true;
    comm_->core->collectives.erase(number_);
  }

  void Match(const FakePart& part) {
    const bool sends = part.call == FakeCall::kSend;
    const std::pair<int, int> way =
        sends ? std::pair(comm_->rank, part.peer) : std::pair(part.peer, comm_->rank);
    std::deque<FakePart*>& out = comm_->core->sends[way];
    std::deque<FakePart*>& in = comm_->core->receives[way];
    while (!out.empty() && !in.empty()) {
      if (out.front()->count != in.front()->count || out.front()->type != in.front()->type) {
        all_->devices_.Violation("a send and its receive on " + comm_->core->name + " differ");
      }
      CheckMemory(*out.front());
      CheckMemory(*in.front());
      MoveMessage(*out.front(), *in.front());
      out.front()->done = in.front()->done = true;
      out.pop_front();
      in.pop_front();
    }
  }

  FakeNccl* all_;
  FakeComm* comm_;
  std::vector<FakePart> parts_;
  uint64_t number_ = 0;
  bool arrived_ = false;
};

FakeNccl::FakeNccl(int ranks, const FakeOptions& options)
    : options_(options), devices_(ranks, options.device), issued_(static_cast<size_t>(ranks)) {
  for (int rank = 0; rank < ranks; ++rank) {
    ranks_.push_back(std::make_unique<Rank>());
    ranks_.back()->all = this;
    ranks_.back()->rank = rank;
    tables_.push_back(FakeCalls::Table(ranks_.back().get()));
  }
}

FakeNccl::~FakeNccl() = default;

FakeCore* FakeNccl::NewCore(int size, const std::string& name) {
  cores_.push_back(std::make_unique<FakeCore>());
  FakeCore* core = cores_.back().get();
  core->id = static_cast<int>(cores_.size());
  core->size = size;
  core->name = name + "@" + std::to_string(core->id);
  core->members.resize(static_cast<size_t>(size), nullptr);
  return core;
}

FakeComm* FakeNccl::Join(FakeCore* core, int rank, int device) {
  comms_.push_back(std::make_unique<FakeComm>());
  FakeComm* comm = comms_.back().get();
  comm->all = this;
  comm->core = core;
  comm->rank = rank;
  comm->device = device;
  comm->polls = options_.polls;
  core->members[static_cast<size_t>(rank)] = comm;
  return comm;
}

bool FakeNccl::Usable(FakeComm* comm, const std::string& what) {
  std::string fault;
  if (comm->aborted || comm->destroyed) {
    fault = "is over";
  } else if (comm->finalizing) {
    fault = "has been finalized";
  } else if (!comm->starting.empty() || comm->split.has_value() || comm->polls > 0) {
    fault = "has a call in progress";
  } else {
    return true;
  }
  devices_.Violation("rank " + std::to_string(comm->device) + " calls " + what + " on " + comm->core->name +
                     ", which " + fault);
  return false;
}

NcclResult FakeNccl::Add(FakePart part) {
  FakeComm* comm = part.comm;
  if (!Usable(comm, ToString(part.call))) return NcclResult::kInvalidUsage;
  Group& group = groups_[std::this_thread::get_id()];
  group.rank = comm->device;
  if (group.depth > 0) {
    group.parts.push_back(part);
    return NcclResult::kSuccess;
  }
  if (part.message()) {
    (part.call == FakeCall::kSend ? comm->sent_alone : comm->received_alone) = true;
    if (comm->sent_alone && comm->received_alone) {
      devices_.Violation("rank " + std::to_string(comm->device) + " sends and receives on " +
                         comm->core->name + " outside of a group: they can wait for each other");
    }
  }
  return Begin(comm, {part}, /*in_group=*/false);
}

NcclResult FakeNccl::Begin(FakeComm* comm, std::vector<FakePart> parts, bool in_group) {
  for (const FakePart& part : parts) {
    if (!part.message()) continue;
    const bool sends = part.call == FakeCall::kSend;
    comm->core->called.insert(
        {sends ? comm->rank : part.peer, sends ? part.peer : comm->rank, sends ? 1 : 0});
  }
  comm->starting = std::move(parts);
  comm->in_group = in_group;
  comm->polls = options_.polls;
  const NcclResult state = StateOf(comm);
  return comm->device == options_.ignore_progress_on ? NcclResult::kSuccess : state;
}

NcclResult FakeNccl::EndGroup(Group* group) {
  const std::vector<FakePart> parts = std::move(group->parts);
  const std::vector<FakeComm*> aborts = std::move(group->aborts);
  group->parts.clear();
  group->aborts.clear();
  for (FakeComm* comm : aborts) Abort(comm);
  NcclResult result = NcclResult::kSuccess;
  std::vector<FakeComm*> seen;
  for (const FakePart& part : parts) {
    if (std::find(seen.begin(), seen.end(), part.comm) != seen.end()) continue;
    seen.push_back(part.comm);
    std::vector<FakePart> own;
    std::copy_if(parts.begin(), parts.end(), std::back_inserter(own),
                 [&](const FakePart& other) { return other.comm == part.comm; });
    if (const NcclResult state = Begin(part.comm, own, /*in_group=*/true); state != NcclResult::kSuccess) {
      result = state;
    }
  }
  return result;
}

// Two ranks are connected at their first message, for which both must be there.
bool FakeNccl::Connected(FakeComm* comm) const {
  return std::all_of(comm->starting.begin(), comm->starting.end(), [comm](const FakePart& part) {
    if (!part.message() || part.peer == comm->rank) return true;
    const bool sends = part.call == FakeCall::kSend;
    return comm->core->called.count(
               {sends ? comm->rank : part.peer, sends ? part.peer : comm->rank, sends ? 0 : 1}) != 0;
  });
}

void FakeNccl::Log(const FakeComm& comm) {
  IssuedOperation operation;
  operation.communicator = comm.core->id;
  const FakePart& first = comm.starting[0];
  operation.name =
      std::string(ToString(first.call)) + " #" + std::to_string(comm.collectives) + " of " + comm.core->name;
  for (const FakeComm* member : comm.core->members) operation.members.push_back(member->device);
  if (first.message()) {
    // Messages alone are not in the order: each way has a communicator of its own.
    if (!comm.in_group) return;
    operation.name = "a group of messages of " + comm.core->name;
    for (const FakePart& part : comm.starting) {
      operation.parts.push_back(
          {operation.members[static_cast<size_t>(part.peer)], part.call == FakeCall::kSend, false});
    }
  }
  issued_[static_cast<size_t>(comm.device)].push_back(std::move(operation));
}

void FakeNccl::Enqueue(FakeComm* comm) {
  Log(*comm);
  Rank* rank = ranks_[static_cast<size_t>(comm->device)].get();
  const int nth = rank->operations++;
  DeviceStream* stream = comm->starting[0].stream;
  auto kernel = std::make_shared<FakeParts>(this, comm, std::move(comm->starting));
  comm->starting.clear();
  kernel->rank = comm->device;
  kernel->hangs = comm->device == options_.hang_on && nth >= options_.hang_after;
  kernel->fails = comm->device == options_.async_error_on && nth >= options_.async_error_after;
  devices_.Launch(stream, std::move(kernel));
}

NcclResult FakeNccl::StateOf(FakeComm* comm) {
  if (comm->failed) return NcclResult::kRemoteError;
  const std::vector<FakeComm*>& members = comm->core->members;
  if (std::find(members.begin(), members.end(), nullptr) != members.end()) return NcclResult::kInProgress;
  if (comm->split.has_value()) {
    if (comm->made == nullptr) return NcclResult::kInProgress;
    *comm->child = reinterpret_cast<NcclComm*>(comm->made);
    comm->made = nullptr;
    comm->split.reset();
  }
  if (comm->polls > 0) {
    --comm->polls;
    return NcclResult::kInProgress;
  }
  if (!comm->starting.empty()) {
    if (!Connected(comm)) return NcclResult::kInProgress;
    Enqueue(comm);
  }
  if (!comm->finalizing) return NcclResult::kSuccess;
  const bool all = std::all_of(members.begin(), members.end(), [](const FakeComm* member) {
    return (member->finalizing && member->kernels == 0) || member->aborted;
  });
  return all ? NcclResult::kSuccess : NcclResult::kInProgress;
}

void FakeNccl::FinishSplit(FakeCore* parent) {
  const std::vector<FakeComm*> members = parent->members;
  for (const FakeComm* member : members) {
    if (member == nullptr || !member->split.has_value() || member->made != nullptr) return;
  }
  ++splits_;
  std::map<int, std::vector<FakeComm*>> colors;
  for (FakeComm* member : members) colors[(*member->split)[0]].push_back(member);
  for (auto& [color, same] : colors) {
    std::stable_sort(same.begin(), same.end(),
                     [](const FakeComm* a, const FakeComm* b) { return (*a->split)[1] < (*b->split)[1]; });
    FakeCore* core = NewCore(static_cast<int>(same.size()), same[0]->split_name);
    for (size_t rank = 0; rank < same.size(); ++rank) {
      same[rank]->made = Join(core, static_cast<int>(rank), same[rank]->device);
    }
  }
}

// As in NCCL it returns when the kernels have ended.
void FakeNccl::Abort(FakeComm* comm) {
  if (comm->aborted || comm->destroyed) {
    devices_.Violation("a communicator that is over is aborted");
    return;
  }
  ++aborts_;
  comm->aborted = true;
  const auto ours = [comm](const FakePart* part) { return part->comm == comm; };
  for (auto& [number, parts] : comm->core->collectives) std::erase_if(parts, ours);
  for (auto* queues : {&comm->core->sends, &comm->core->receives}) {
    for (auto& [way, parts] : *queues) std::erase_if(parts, ours);
  }
  devices_.Wake();
}

std::vector<std::string> FakeNccl::Finish() {
  {
    const std::lock_guard lock(devices_.mutex());
    for (const auto& [thread, group] : groups_) {
      if (group.depth == 0) continue;
      devices_.Violation("rank " + std::to_string(group.rank) + " started a group and did not end it");
    }
    for (const auto& comm : comms_) {
      if (comm->destroyed || comm->aborted) continue;
      devices_.Violation("rank " + std::to_string(comm->device) + " left " + comm->core->name + " behind");
    }
    // Where some gave up, the others have come to different places.
    const std::string fault = aborts_ == 0 ? FindOrderFault(issued_) : "";
    if (!fault.empty()) devices_.Violation(fault);
  }
  return devices_.Violations();
}

}  // namespace orthant::testing
