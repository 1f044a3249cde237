// Communicator: the one seam between the trainer and the backends (local threads, MPI, NCCL).
// Everything above it is the same program for one rank or ten thousand.
// The public operations check arguments, record flight entries and count bytes, then call the backend's Do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "orthant/comm/flight_recorder.h"
#include "orthant/comm/label.h"
#include "orthant/comm/operation.h"
#include "orthant/comm/operation_filter.h"
#include "orthant/comm/rolling_hash.h"

namespace orthant {

// Thrown by every operation that cannot complete: deadline passed, peers disagree, a peer is gone.
class CommError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How verdicts name a world rank, as "D1-T0-P1-S0 rank 12"; null: "rank 12". Called from any thread.
using DescribeRank = std::function<std::string(int world_rank)>;

// Looks at a text of every member of a group and says something about them.
using JudgeTexts = std::function<std::string(const std::vector<std::string>& texts)>;

// What a group's operations have cost one rank so far, in seconds. Failed operations and works that were
// dropped without a Wait are left out.
struct CommTime {
  double exposed = 0;  // its thread spent in operations and in Work::Wait, for slower peers too
  double hidden = 0;   // asynchronous operations were under way while it did something else; they add up
};

// Handle of an asynchronous operation. The buffers must stay untouched until Wait() returns; the operation
// keeps their memory alive. Dropping the last copy of an unfinished collective waits for it. Copies share the
// operation. A default-made Work is complete. Not thread-safe: one owner thread.
// Of tensors on a device Wait() orders the caller's current stream after the operation and returns: the
// results are for kernels of that stream, and for the host once it has synchronised with it. A failure shows
// at the next operation or Wait() of any group. Dropping such a Work waits for nothing.
class Work {
 public:
  class State {
   public:
    virtual ~State() = default;
    virtual void Wait() = 0;  // throws CommError
    // When the operation was over here; asked after Wait. nullopt: it is not known, and the end of the wait
    // counts.
    virtual std::optional<FlightRecorder::Clock::time_point> Ended() const { return std::nullopt; }

   private:
    friend class Work;
    friend class Communicator;
    std::shared_ptr<CommTime> time_;  // of the group; null when it has been counted
    FlightRecorder::Clock::time_point issued_{};
  };

  Work() = default;
  explicit Work(std::shared_ptr<State> state) : state_(std::move(state)) {}
  // Returns when the operation is complete here; throws CommError when it failed. May be called again.
  void Wait();

 private:
  friend class Communicator;
  std::shared_ptr<State> state_;
};

// A group of ranks, seen from one of them. One object per (rank, group); used by that rank's thread alone.
// Tensors are contiguous; sizes are in elements. In every operation all members pass the same sizes, dtype,
// op and root, in the same order. An operation on a group of one rank is a copy or nothing.
class Communicator {
 public:
  virtual ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }                                    // 0 .. size-1, within this group
  int size() const { return size_; }                                    // members
  const std::string& name() const { return name_; }                     // "tensor", "data", "world", ...
  const std::vector<int>& world_ranks() const { return world_ranks_; }  // of the members, in their order

  // In place. The result has the same bits on every rank; summands are added in rank order in fp64 and fp32,
  // and bf16/fp16 accumulate in fp32. On a device NCCL chooses the order, and rounds bf16/fp16 sums at every
  // hop (docs/nccl.md).
  void AllReduce(const at::Tensor& tensor, ReduceOp op, Label label);
  Work AllReduceAsync(const at::Tensor& tensor, ReduceOp op, Label label);
  // In place on `root`; elsewhere the tensor is left as it was.
  void Reduce(const at::Tensor& tensor, ReduceOp op, int root, Label label);
  Work ReduceAsync(const at::Tensor& tensor, ReduceOp op, int root, Label label);
  void Broadcast(const at::Tensor& tensor, int root, Label label);
  Work BroadcastAsync(const at::Tensor& tensor, int root, Label label);
  // output: size() * input.numel(), rank-major. `input` may be this rank's own slice of `output`.
  void AllGather(const at::Tensor& output, const at::Tensor& input, Label label);
  Work AllGatherAsync(const at::Tensor& output, const at::Tensor& input, Label label);
  // input: size() * output.numel(), rank-major. `output` may be this rank's own slice of `input`
  // (the rest of `input` is then undefined afterwards).
  void ReduceScatter(const at::Tensor& output, const at::Tensor& input, ReduceOp op, Label label);
  Work ReduceScatterAsync(const at::Tensor& output, const at::Tensor& input, ReduceOp op, Label label);
  // Equal shares: slice i of `input` goes to rank i, slice j of `output` comes from rank j. No aliasing.
  void AllToAll(const at::Tensor& output, const at::Tensor& input, Label label);
  Work AllToAllAsync(const at::Tensor& output, const at::Tensor& input, Label label);
  // Split form: counts are elements per peer; sum(input_counts) == input.numel(), likewise output.
  void AllToAllSplit(const at::Tensor& output, const std::vector<int64_t>& output_counts,
                     const at::Tensor& input, const std::vector<int64_t>& input_counts, Label label);
  Work AllToAllSplitAsync(const at::Tensor& output, const std::vector<int64_t>& output_counts,
                          const at::Tensor& input, const std::vector<int64_t>& input_counts, Label label);
  // `input` (root only, else undefined): size() * output.numel().
  void Scatter(const at::Tensor& output, const at::Tensor& input, int root, Label label);
  Work ScatterAsync(const at::Tensor& output, const at::Tensor& input, int root, Label label);
  // `output` (root only, else undefined): size() * input.numel().
  void Gather(const at::Tensor& output, const at::Tensor& input, int root, Label label);
  Work GatherAsync(const at::Tensor& output, const at::Tensor& input, int root, Label label);
  // Point to point, matched in order per (sender, receiver). A send may wait for its receive (rendezvous).
  void Send(const at::Tensor& tensor, int to, Label label);
  Work SendAsync(const at::Tensor& tensor, int to, Label label);
  void Recv(const at::Tensor& tensor, int from, Label label);
  Work RecvAsync(const at::Tensor& tensor, int from, Label label);
  // The ranks' threads meet; devices may still be at work.
  void Barrier(Label label);

  // A communicator of some of this one's ranks (`members`: ranks within this group, ascending, holding this
  // rank). Called by the members alone, in the same order on each.
  virtual std::unique_ptr<Communicator> Subgroup(const std::vector<int>& members, std::string name) = 0;

  // Bytes this rank has sent to other ranks through this communicator, by the textbook algorithm of each
  // operation (ring all-reduce: 2 (n-1)/n of the tensor), so that backends can be compared.
  // Of n ranks and a share of B bytes: reduce_scatter, all_gather, all_to_all (n-1) B; broadcast and reduce
  // as a pipelined chain (B from all but its last rank); scatter (n-1) B at the root; gather B elsewhere;
  // barrier 0.
  int64_t bytes_sent() const { return bytes_sent_; }

  // What this group's operations have cost this rank so far. The rank's own thread.
  const CommTime& time() const { return *time_; }

  // This rank's contribution to a sum over all ranks of the world and all their groups, which is exactly 0.0
  // when the members have called the same operations in the same order so far (RollingHash). Asynchronous
  // operations count when they are issued: asked for at a point of the program where all ranks have issued
  // alike, as the end of a step.
  double HashBalance() const { return hash_.Balance(); }

  // After a balance that was not 0: the first operation on record that the members did not call alike, as a
  // sentence that names group, ranks, step, sequence number and what each called; "" when the members agree.
  // The same text on every member. Collective, but apart from the operations: their order does not matter to
  // it. CommError when a member does not come within the rank's deadline.
  std::string ExplainImbalance(const DescribeRank& describe = nullptr);

  // Shows every operation of this group, and of the subgroups made of it from now on, to `filter`, which must
  // outlive them. null: none.
  void SetFilter(OperationFilter* filter) { filter_ = filter; }
  OperationFilter* filter() const { return filter_; }

  // This rank's recorder, shared by all its groups. Another thread may read it.
  const std::shared_ptr<FlightRecorder>& flight_recorder() const { return recorder_; }

 protected:
  Communicator(int rank, std::vector<int> world_ranks, std::string name,
               std::shared_ptr<FlightRecorder> recorder);

  // Carry out one checked operation on a group of more than one rank. `output` and `input` own the memory
  // that `op` points to (undefined where it has none). Do throws CommError; DoAsync's Work does. An
  // asynchronous operation is marked done or failed in the recorder by the backend.
  virtual void Do(const Operation& op, const at::Tensor& output, const at::Tensor& input) = 0;
  virtual Work DoAsync(const Operation& op, const at::Tensor& output, const at::Tensor& input) = 0;

  // Whether an operation on these tensors is ordered by a device's streams, and ends after it has returned.
  // Then a blocking one is an asynchronous one and its Wait, and the backend marks all its states.
  virtual bool StreamOrdered(const at::Tensor& output, const at::Tensor& input) const;

  // For a backend that has another one with the same members beneath it, and hands some operations on.
  static void DoOn(Communicator& beneath, const Operation& op, const at::Tensor& output,
                   const at::Tensor& input) {
    beneath.Do(op, output, input);
  }
  static Work DoAsyncOn(Communicator& beneath, const Operation& op, const at::Tensor& output,
                        const at::Tensor& input) {
    return beneath.DoAsync(op, output, input);
  }
  static std::string ConferOn(Communicator& beneath, const std::string& text, const JudgeTexts& judge) {
    return beneath.Confer(text, judge);
  }

  // Brings together a text of every member, in their order, lets one process `judge` them, and returns what
  // it said on all of them. Beside the operations: meets no collective or message that is under way.
  virtual std::string Confer(const std::string& text, const JudgeTexts& judge) = 0;

  // This rank's place in `members`; throws CommError when they are not ascending ranks of this group that
  // hold it.
  int CheckMembers(const std::vector<int>& members, const std::string& subgroup) const;

 private:
  void Run(Operation op, const at::Tensor& output, const at::Tensor& input);
  void RunOnce(Operation op, const at::Tensor& output, const at::Tensor& input);
  // Asks the filter; false: the operation is skipped.
  bool PassFilter(Operation* op, const at::Tensor& output, const at::Tensor& input);
  Work RunAsync(Operation op, const at::Tensor& output, const at::Tensor& input);
  Work Issue(Operation op, const at::Tensor& output, const at::Tensor& input);
  void Register(Operation* op, FlightState state);
  int64_t BytesSent(const Operation& op) const;

  // Make the checked operation; throw CommError naming label and values when an argument breaks a rule.
  Operation InPlace(OpKind kind, const at::Tensor& tensor, ReduceOp reduce, int root, Label label) const;
  Operation Sliced(OpKind kind, const at::Tensor& output, const at::Tensor& input, Label label) const;
  Operation Split(const at::Tensor& output, const std::vector<int64_t>& output_counts,
                  const at::Tensor& input, const std::vector<int64_t>& input_counts, Label label) const;
  Operation Rooted(OpKind kind, const at::Tensor& output, const at::Tensor& input, int root,
                   Label label) const;
  Operation PointToPoint(OpKind kind, const at::Tensor& tensor, int peer, Label label) const;
  void CheckTensor(OpKind kind, const char* which, const at::Tensor& tensor, Label label) const;
  void CheckRoot(OpKind kind, int root, Label label) const;
  [[noreturn]] void Refuse(OpKind kind, Label label, const std::string& rule) const;

  int rank_;
  int size_;
  std::vector<int> world_ranks_;
  std::string name_;
  std::shared_ptr<FlightRecorder> recorder_;
  int group_index_;
  RollingHash hash_;
  OperationFilter* filter_ = nullptr;
  int64_t bytes_sent_ = 0;
  std::shared_ptr<CommTime> time_ = std::make_shared<CommTime>();  // works may outlive the group
};

}  // namespace orthant
