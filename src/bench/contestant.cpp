#include "bench/contestant.h"

#include <cstring>

#include "ATen/ATen.h"

namespace orthant {
namespace {

constexpr const char* kLabel = "bench";

class Ours : public Contestant {
 public:
  Ours(Communicator& group, bool asynchronous) : group_(group), asynchronous_(asynchronous) {}

  void Call(BenchOp op, const BenchTensors& t) override {
    if (op == BenchOp::kPingPong) return PingPong(t);
    if (op == BenchOp::kSendRecv) return SendRecv(t);
    if (op == BenchOp::kBarrier) return group_.Barrier(kLabel);
    if (op == BenchOp::kCopy) {
      std::memcpy(t.other.data_ptr(), t.whole.data_ptr(), t.whole.nbytes());
      return;
    }
    asynchronous_ ? Issue(op, t).Wait() : Block(op, t);
  }

 private:
  const at::Tensor& OnRoot(const at::Tensor& tensor) const { return group_.rank() == 0 ? tensor : none_; }

  void Block(BenchOp op, const BenchTensors& t) {
    switch (op) {
      case BenchOp::kAllReduce:
        return group_.AllReduce(t.whole, ReduceOp::kSum, kLabel);
      case BenchOp::kAllGather:
        return group_.AllGather(t.whole, t.share, kLabel);
      case BenchOp::kReduceScatter:
        return group_.ReduceScatter(t.share, t.whole, ReduceOp::kSum, kLabel);
      case BenchOp::kAllToAll:
        return group_.AllToAll(t.other, t.whole, kLabel);
      case BenchOp::kAllToAllSplit:
        return group_.AllToAllSplit(t.other, t.even, t.whole, t.even, kLabel);
      case BenchOp::kBroadcast:
        return group_.Broadcast(t.whole, 0, kLabel);
      case BenchOp::kReduce:
        return group_.Reduce(t.whole, ReduceOp::kSum, 0, kLabel);
      case BenchOp::kScatter:
        return group_.Scatter(t.share, OnRoot(t.whole), 0, kLabel);
      default:
        return group_.Gather(OnRoot(t.whole), t.share, 0, kLabel);
    }
  }

  Work Issue(BenchOp op, const BenchTensors& t) {
    switch (op) {
      case BenchOp::kAllReduce:
        return group_.AllReduceAsync(t.whole, ReduceOp::kSum, kLabel);
      case BenchOp::kAllGather:
        return group_.AllGatherAsync(t.whole, t.share, kLabel);
      case BenchOp::kReduceScatter:
        return group_.ReduceScatterAsync(t.share, t.whole, ReduceOp::kSum, kLabel);
      case BenchOp::kAllToAll:
        return group_.AllToAllAsync(t.other, t.whole, kLabel);
      case BenchOp::kAllToAllSplit:
        return group_.AllToAllSplitAsync(t.other, t.even, t.whole, t.even, kLabel);
      case BenchOp::kBroadcast:
        return group_.BroadcastAsync(t.whole, 0, kLabel);
      case BenchOp::kReduce:
        return group_.ReduceAsync(t.whole, ReduceOp::kSum, 0, kLabel);
      case BenchOp::kScatter:
        return group_.ScatterAsync(t.share, OnRoot(t.whole), 0, kLabel);
      default:
        return group_.GatherAsync(OnRoot(t.whole), t.share, 0, kLabel);
    }
  }

  void SendRecv(const BenchTensors& t) {
    const int n = group_.size(), rank = group_.rank();
    Work received = group_.RecvAsync(t.other, (rank + n - 1) % n, kLabel);
    Work sent = group_.SendAsync(t.whole, (rank + 1) % n, kLabel);
    received.Wait();
    sent.Wait();
  }

  void PingPong(const BenchTensors& t) {
    const int last = group_.size() - 1;
    if (group_.rank() == 0) {
      group_.Send(t.whole, last, kLabel);
      group_.Recv(t.other, last, kLabel);
    } else if (group_.rank() == last) {
      group_.Recv(t.other, 0, kLabel);
      group_.Send(t.whole, 0, kLabel);
    }
  }

  Communicator& group_;
  const bool asynchronous_;
  const at::Tensor none_;
};

}  // namespace

BenchTensors::BenchTensors(int64_t elements, int64_t ranks, at::ScalarType dtype)
    : whole(at::empty({elements}, dtype)),
      other(at::empty({elements}, dtype)),
      share(at::empty({elements / ranks}, dtype)),
      even(static_cast<size_t>(ranks), elements / ranks) {
  // Written to, not asked for as zeros: memory that nobody wrote to is one page of the system's, read from
  // cache.
  for (const at::Tensor& tensor : {whole, other, share}) tensor.fill_(0);
}

std::unique_ptr<Contestant> OurCalls(Communicator& group, bool asynchronous) {
  return std::make_unique<Ours>(group, asynchronous);
}

}  // namespace orthant
