#include "orthant/comm/communicator.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

namespace orthant {
namespace {

using Clock = FlightRecorder::Clock;

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// An operation on a group of one rank: a copy, or nothing.
void CopyAlone(const Operation& op, const at::Tensor& output, const at::Tensor& input) {
  if (op.input == op.output || op.count == 0) return;
  if (!output.is_cpu()) {
    output.view(-1).copy_(input.view(-1), /*non_blocking=*/true);
    return;
  }
  std::memcpy(op.output, op.input, static_cast<size_t>(op.count * op.element_size()));
}

}  // namespace

void Work::Wait() {
  if (!state_) return;
  const std::shared_ptr<CommTime> time = std::move(state_->time_);
  if (!time) return state_->Wait();
  const Clock::time_point began = Clock::now();
  state_->Wait();
  const Clock::time_point over = Clock::now();
  time->exposed += Seconds(over - began);
  const Clock::time_point beside = std::min(state_->Ended().value_or(over), began);
  time->hidden += std::max(0.0, Seconds(beside - state_->issued_));
}

Communicator::Communicator(int rank, std::vector<int> world_ranks, std::string name,
                           std::shared_ptr<FlightRecorder> recorder)
    : rank_(rank),
      size_(static_cast<int>(world_ranks.size())),
      world_ranks_(std::move(world_ranks)),
      name_(std::move(name)),
      recorder_(std::move(recorder)),
      group_index_(recorder_->RegisterGroup(name_, world_ranks_)),
      hash_(rank_, size_) {}

Communicator::~Communicator() {
  recorder_->ReleaseGroup(group_index_);
}

int64_t Communicator::BytesSent(const Operation& op) const {
  const int64_t share = op.count * op.element_size();
  const int64_t others = size_ - 1;
  switch (op.kind) {
    case OpKind::kAllReduce:
      return 2 * others * share / size_;
    case OpKind::kAllGather:
    case OpKind::kReduceScatter:
    case OpKind::kAllToAll:
      return others * share;
    case OpKind::kAllToAllSplit: {
      int64_t elements = 0;
      for (int peer = 0; peer < size_; ++peer) elements += peer == rank_ ? 0 : (*op.input_counts)[peer];
      return elements * op.element_size();
    }
    // The chain of a broadcast starts at the root and ends at the rank before it; that of a reduce ends at
    // the root.
    case OpKind::kBroadcast:
      return (rank_ + 1) % size_ == op.peer ? 0 : share;
    case OpKind::kReduce:
    case OpKind::kGather:
      return rank_ == op.peer ? 0 : share;
    case OpKind::kScatter:
      return rank_ == op.peer ? others * share : 0;
    case OpKind::kSend:
      return share;
    case OpKind::kRecv:
    case OpKind::kBarrier:
      return 0;
  }
  return 0;
}

void Communicator::Register(Operation* op, FlightState state) {
  op->sequence = hash_.Add(*op, recorder_->LabelHash(op->label.what));
  op->sent = BytesSent(*op);
  op->ticket = recorder_->Begin(*op, group_index_, state);
  bytes_sent_ += op->sent;
}

bool Communicator::PassFilter(Operation* op, const at::Tensor& output, const at::Tensor& input) {
  const OperationFilter::Action action = filter_->Before(op);
  if (action == OperationFilter::Action::kSkip) return false;
  if (action == OperationFilter::Action::kDouble) RunOnce(*op, output, input);
  return true;
}

void Communicator::Run(Operation op, const at::Tensor& output, const at::Tensor& input) {
  if (size_ == 1) return CopyAlone(op, output, input);
  if (filter_ != nullptr && !PassFilter(&op, output, input)) return;
  RunOnce(op, output, input);
}

bool Communicator::StreamOrdered(const at::Tensor&, const at::Tensor&) const {
  return false;
}

void Communicator::RunOnce(Operation op, const at::Tensor& output, const at::Tensor& input) {
  if (StreamOrdered(output, input)) return Issue(op, output, input).Wait();
  Register(&op, FlightState::kStarted);
  const Clock::time_point began = recorder_->begun();
  try {
    Do(op, output, input);
  } catch (...) {
    recorder_->Mark(op.ticket, FlightState::kFailed);
    throw;
  }
  time_->exposed += Seconds(recorder_->Mark(op.ticket, FlightState::kDone) - began);
}

Work Communicator::RunAsync(Operation op, const at::Tensor& output, const at::Tensor& input) {
  if (size_ == 1) {
    CopyAlone(op, output, input);
    return Work();
  }
  if (filter_ != nullptr && !PassFilter(&op, output, input)) return Work();
  return Issue(op, output, input);
}

Work Communicator::Issue(Operation op, const at::Tensor& output, const at::Tensor& input) {
  Register(&op, FlightState::kQueued);
  const Clock::time_point began = recorder_->begun();
  try {
    Work work = DoAsync(op, output, input);
    const Clock::time_point issued = Clock::now();
    time_->exposed += Seconds(issued - began);
    if (work.state_) {
      work.state_->time_ = time_;
      work.state_->issued_ = issued;
    }
    return work;
  } catch (...) {
    recorder_->Mark(op.ticket, FlightState::kFailed);
    throw;
  }
}

void Communicator::AllReduce(const at::Tensor& tensor, ReduceOp op, Label label) {
  Run(InPlace(OpKind::kAllReduce, tensor, op, -1, label), tensor, tensor);
}

Work Communicator::AllReduceAsync(const at::Tensor& tensor, ReduceOp op, Label label) {
  return RunAsync(InPlace(OpKind::kAllReduce, tensor, op, -1, label), tensor, tensor);
}

void Communicator::Reduce(const at::Tensor& tensor, ReduceOp op, int root, Label label) {
  CheckRoot(OpKind::kReduce, root, label);
  Run(InPlace(OpKind::kReduce, tensor, op, root, label), tensor, tensor);
}

Work Communicator::ReduceAsync(const at::Tensor& tensor, ReduceOp op, int root, Label label) {
  CheckRoot(OpKind::kReduce, root, label);
  return RunAsync(InPlace(OpKind::kReduce, tensor, op, root, label), tensor, tensor);
}

void Communicator::Broadcast(const at::Tensor& tensor, int root, Label label) {
  CheckRoot(OpKind::kBroadcast, root, label);
  Run(InPlace(OpKind::kBroadcast, tensor, ReduceOp::kSum, root, label), tensor, tensor);
}

Work Communicator::BroadcastAsync(const at::Tensor& tensor, int root, Label label) {
  CheckRoot(OpKind::kBroadcast, root, label);
  return RunAsync(InPlace(OpKind::kBroadcast, tensor, ReduceOp::kSum, root, label), tensor, tensor);
}

void Communicator::AllGather(const at::Tensor& output, const at::Tensor& input, Label label) {
  Run(Sliced(OpKind::kAllGather, output, input, label), output, input);
}

Work Communicator::AllGatherAsync(const at::Tensor& output, const at::Tensor& input, Label label) {
  return RunAsync(Sliced(OpKind::kAllGather, output, input, label), output, input);
}

void Communicator::ReduceScatter(const at::Tensor& output, const at::Tensor& input, ReduceOp op,
                                 Label label) {
  Operation operation = Sliced(OpKind::kReduceScatter, output, input, label);
  operation.reduce = op;
  Run(operation, output, input);
}

Work Communicator::ReduceScatterAsync(const at::Tensor& output, const at::Tensor& input, ReduceOp op,
                                      Label label) {
  Operation operation = Sliced(OpKind::kReduceScatter, output, input, label);
  operation.reduce = op;
  return RunAsync(operation, output, input);
}

void Communicator::AllToAll(const at::Tensor& output, const at::Tensor& input, Label label) {
  Run(Sliced(OpKind::kAllToAll, output, input, label), output, input);
}

Work Communicator::AllToAllAsync(const at::Tensor& output, const at::Tensor& input, Label label) {
  return RunAsync(Sliced(OpKind::kAllToAll, output, input, label), output, input);
}

void Communicator::AllToAllSplit(const at::Tensor& output, const std::vector<int64_t>& output_counts,
                                 const at::Tensor& input, const std::vector<int64_t>& input_counts,
                                 Label label) {
  Operation operation = Split(output, output_counts, input, input_counts, label);
  if (size_ == 1) operation.count = input.numel();
  Run(operation, output, input);
}

Work Communicator::AllToAllSplitAsync(const at::Tensor& output, const std::vector<int64_t>& output_counts,
                                      const at::Tensor& input, const std::vector<int64_t>& input_counts,
                                      Label label) {
  Operation operation = Split(output, output_counts, input, input_counts, label);
  if (size_ == 1) operation.count = input.numel();
  return RunAsync(operation, output, input);
}

void Communicator::Scatter(const at::Tensor& output, const at::Tensor& input, int root, Label label) {
  Run(Rooted(OpKind::kScatter, output, input, root, label), output, input);
}

Work Communicator::ScatterAsync(const at::Tensor& output, const at::Tensor& input, int root, Label label) {
  return RunAsync(Rooted(OpKind::kScatter, output, input, root, label), output, input);
}

void Communicator::Gather(const at::Tensor& output, const at::Tensor& input, int root, Label label) {
  Run(Rooted(OpKind::kGather, output, input, root, label), output, input);
}

Work Communicator::GatherAsync(const at::Tensor& output, const at::Tensor& input, int root, Label label) {
  return RunAsync(Rooted(OpKind::kGather, output, input, root, label), output, input);
}

void Communicator::Send(const at::Tensor& tensor, int to, Label label) {
  Run(PointToPoint(OpKind::kSend, tensor, to, label), {}, tensor);
}

Work Communicator::SendAsync(const at::Tensor& tensor, int to, Label label) {
  return RunAsync(PointToPoint(OpKind::kSend, tensor, to, label), {}, tensor);
}

void Communicator::Recv(const at::Tensor& tensor, int from, Label label) {
  Run(PointToPoint(OpKind::kRecv, tensor, from, label), tensor, {});
}

Work Communicator::RecvAsync(const at::Tensor& tensor, int from, Label label) {
  return RunAsync(PointToPoint(OpKind::kRecv, tensor, from, label), tensor, {});
}

void Communicator::Barrier(Label label) {
  Operation op;
  op.label = label;
  Run(op, {}, {});
}

}  // namespace orthant
