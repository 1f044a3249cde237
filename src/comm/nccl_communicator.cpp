#include "comm/nccl_communicator.h"

#include <cstring>
#include <exception>

#include "ATen/Functions.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "orthant/core/hash.h"

namespace orthant::nccl {
namespace {

class Pending : public Work::State {
 public:
  Pending(std::shared_ptr<Context> context, std::shared_ptr<Flight> flight)
      : context_(std::move(context)), flight_(std::move(flight)) {}

  void Wait() override {
    if (!waited_) {
      waited_ = true;
      try {
        context_->Wait(flight_);
      } catch (...) {
        error_ = std::current_exception();
      }
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::shared_ptr<Context> context_;
  std::shared_ptr<Flight> flight_;
  bool waited_ = false;
  std::exception_ptr error_;
};

// The first member makes the id, the host carries it: as whole int64, in a tensor of main memory.
NcclUniqueId ShareId(Context* context, Communicator* host) {
  NcclUniqueId id;
  static_assert(sizeof(id) % sizeof(int64_t) == 0);
  const at::Tensor words = at::zeros({static_cast<int64_t>(sizeof(id) / sizeof(int64_t))}, at::kLong);
  if (host->rank() == 0) {
    id = context->NewId();
    std::memcpy(words.data_ptr(), id.bytes, sizeof(id));
  }
  host->Broadcast(words, 0, "nccl.id");
  std::memcpy(id.bytes, words.data_ptr(), sizeof(id));
  return id;
}

uint64_t HashOf(const std::vector<int>& ranks) {
  return Fnv1a64(absl::StrJoin(ranks, ","));
}

}  // namespace

NcclCommunicator::NcclCommunicator(std::shared_ptr<Context> context, std::unique_ptr<Communicator> host,
                                   bool check, Lane* parent)
    : Communicator(host->rank(), host->world_ranks(), host->name(), host->flight_recorder()),
      context_(std::move(context)),
      host_(std::move(host)),
      check_(check),
      instance_(context_->CountGroup(absl::StrFormat("%s %x", name(), HashOf(world_ranks())))) {
  if (size() == 1) return;
  lane_ = parent != nullptr
              ? context_->OpenTwin(name(), parent)
              : context_->OpenGroup(name(), rank(), size(), ShareId(context_.get(), host_.get()));
}

NcclCommunicator::~NcclCommunicator() {
  std::vector<std::shared_ptr<Lane>> lanes;
  if (lane_ != nullptr) lanes.push_back(lane_);
  for (const auto& [peer, lane] : messages_) lanes.push_back(lane);
  context_->Close(lanes);
}

bool NcclCommunicator::StreamOrdered(const at::Tensor& output, const at::Tensor& input) const {
  return (output.defined() && context_->OnDevice(output)) || (input.defined() && context_->OnDevice(input));
}

// Of main memory, and barriers, which have no tensor.
void NcclCommunicator::Do(const Operation& op, const at::Tensor& output, const at::Tensor& input) {
  DoOn(*host_, op, output, input);
}

Work NcclCommunicator::DoAsync(const Operation& op, const at::Tensor& output, const at::Tensor& input) {
  if (!StreamOrdered(output, input)) return DoAsyncOn(*host_, op, output, input);
  if (output.defined() && input.defined() && context_->OnDevice(output) != context_->OnDevice(input)) {
    throw CommError(absl::StrFormat("%s.%s on rank %d of %d: one tensor is on the device, the other is not",
                                    name(), Describe(op), rank(), size()));
  }
  if (check_ && !op.point_to_point()) Compare(op);
  if (!Moves(op)) {
    flight_recorder()->Mark(op.ticket, FlightState::kDone);
    return Work();
  }
  const std::shared_ptr<Lane>& lane = op.point_to_point() ? MessageLane(op) : lane_;
  return Work(std::make_shared<Pending>(context_, context_->Issue(lane, op, output, input)));
}

// comm.check of collectives: NCCL does not compare what its ranks call.
void NcclCommunicator::Compare(const Operation& op) {
  const std::string disagreement = ConferOn(*host_, Describe(op), [&](const std::vector<std::string>& texts) {
    for (size_t member = 1; member < texts.size(); ++member) {
      if (texts[member] == texts[0]) continue;
      return absl::StrFormat("the ranks of %s disagree on collective %d: rank 0 calls %s, rank %d calls %s",
                             name(), op.sequence, texts[0], member, texts[member]);
    }
    return std::string();
  });
  if (!disagreement.empty()) throw CommError(disagreement);
}

const std::shared_ptr<Lane>& NcclCommunicator::MessageLane(const Operation& op) {
  const bool sender = op.kind == OpKind::kSend;
  std::shared_ptr<Lane>& lane = messages_[{op.peer, sender}];
  if (lane == nullptr) {
    const int from = sender ? rank() : op.peer;
    const int to = sender ? op.peer : rank();
    const std::string key =
        absl::StrFormat("%s#%d %x %d>%d", name(), instance_, HashOf(world_ranks()), from, to);
    lane = context_->OpenMessages({.group = name(),
                                   .rank = rank(),
                                   .size = size(),
                                   .sender = sender,
                                   .check = check_,
                                   .peer = op.peer,
                                   .peer_world_rank = world_ranks()[static_cast<size_t>(op.peer)],
                                   .key = key});
  }
  return lane;
}

std::unique_ptr<Communicator> NcclCommunicator::Subgroup(const std::vector<int>& members, std::string name) {
  CheckMembers(members, name);
  std::unique_ptr<Communicator> host = host_->Subgroup(members, std::move(name));
  host->SetFilter(nullptr);  // it sees each operation once, above
  // Members alone come here, and splitting needs all ranks of the parent.
  Lane* const parent = static_cast<int>(members.size()) == size() ? lane_.get() : nullptr;
  auto made = std::make_unique<NcclCommunicator>(context_, std::move(host), check_, parent);
  made->SetFilter(filter());
  return made;
}

std::string NcclCommunicator::Confer(const std::string& text, const JudgeTexts& judge) {
  return ConferOn(*host_, text, judge);
}

}  // namespace orthant::nccl
