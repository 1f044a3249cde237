// The direct course of a large collective, when all members' tensors lie in heaps that the others reach:
// everyone adds its slice, or takes its share, out of the others' tensors, as the threads of `local` do, and
// nothing is staged. Members meet twice, whatever the size: when all tensors are known, and when all are
// done.
#include "absl/container/inlined_vector.h"
#include "comm/mpi_exchange.h"
#include "comm/reduce.h"

namespace orthant::mpi {
namespace {

// Smaller operations are over before the members have told each other where their tensors are.
constexpr int64_t kSmallestDirect = 64 << 10;
// Of one step; then the other groups' operations have their turn.
constexpr int64_t kReduceStep = 128 << 10;
constexpr int64_t kCopyStep = 512 << 10;

bool Sums(OpKind kind) {
  return kind == OpKind::kAllReduce || kind == OpKind::kReduce || kind == OpKind::kReduceScatter;
}

// Bytes of the tensor that the members cut up between them.
int64_t WholeBytes(const Exchange& x) {
  const bool whole =
      x.op.kind == OpKind::kAllReduce || x.op.kind == OpKind::kReduce || x.op.kind == OpKind::kBroadcast;
  return x.op.count * x.size * (whole ? 1 : x.n);
}

// Whether the others read this member's input, and whether they write to its output.
bool InputIsRead(const Exchange& x, int member) {
  return x.op.kind != OpKind::kBroadcast || member == x.op.peer;
}
bool OutputIsWritten(const Exchange& x, int member) {
  return x.op.kind == OpKind::kAllReduce || (x.op.kind == OpKind::kReduce && member == x.op.peer);
}

// What a member adds up: its slice of an all-reduce or a reduce, for all or for the root, or its share.
Slice SumOf(const Exchange& x) {
  if (x.op.kind == OpKind::kReduceScatter) return {0, x.op.count};
  return SliceOfCount(x, x.op.count, x.me);
}

// The next step of adding; true: nothing is left.
bool AddOn(const Exchange& x) {
  DirectRun& run = x.run.direct;
  const Slice sum = SumOf(x);
  const int64_t begin = sum.offset + run.at;
  const int64_t end = std::min(sum.offset + sum.count, begin + kReduceStep / x.size);
  const int64_t shift = x.op.kind == OpKind::kReduceScatter ? x.me * x.op.count * x.size : 0;
  absl::InlinedVector<const void*, 64> sources(x.n);
  absl::InlinedVector<void*, 64> targets;
  for (int member = 0; member < x.n; ++member) {
    const auto i = static_cast<size_t>(member);
    sources[i] = run.inputs[i] + shift;
    if (OutputIsWritten(x, member)) targets.push_back(run.outputs[i]);
  }
  if (x.op.kind == OpKind::kReduceScatter) targets.push_back(x.op.output);
  ReduceInto(x.op.dtype, x.op.reduce, sources.data(), x.n, targets.data(), static_cast<int>(targets.size()),
             begin, end);
  run.at += end - begin;
  return run.at >= sum.count;
}

// What this member takes from another one: `count` elements from `source` on, to element `to` of its output.
struct Lift {
  const std::byte* source = nullptr;
  int64_t to = 0, count = 0;
};

Lift LiftOf(const Exchange& x, int member) {
  const std::byte* input = x.run.direct.inputs[static_cast<size_t>(member)];
  const int64_t share = x.op.count;
  switch (x.op.kind) {
    case OpKind::kBroadcast:
      if (x.root() || member != x.op.peer) return {};
      return {input, 0, share};
    case OpKind::kAllGather:
      return {input, member * share, share};
    default:  // all-to-all
      return {input + x.me * share * x.size, member * share, share};
  }
}

// The next step of copying, from the neighbour on so that not all read the same; true: nothing is left.
bool CopyOn(const Exchange& x) {
  DirectRun& run = x.run.direct;
  const Lift lift = LiftOf(x, (x.me + 1 + run.member) % x.n);
  const int64_t count = std::min(lift.count - run.at, kCopyStep / x.size);
  if (count > 0) x.Copy(x.Out(lift.to + run.at), lift.source + run.at * x.size, count);
  run.at += count;
  if (run.at < lift.count) return false;
  run.at = 0;
  return ++run.member == x.n;
}

}  // namespace

bool MayGoDirect(const Exchange& x) {
  if (!x.stage.reaches_heaps() || x.spread != nullptr) return false;
  switch (x.op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kReduce:
    case OpKind::kReduceScatter:
    case OpKind::kAllGather:
    case OpKind::kAllToAll:
    case OpKind::kBroadcast:
      return WholeBytes(x) >= kSmallestDirect;
    default:
      return false;
  }
}

void TellWhereabouts(const Exchange& x, const Host& host) {
  *x.stage.whereabouts(x.me, x.run.base) = {host.OffsetInHeap(x.op.input), host.OffsetInHeap(x.op.output)};
}

bool FindTensors(const Exchange& x) {
  DirectRun& run = x.run.direct;
  for (int member = 0; member < x.n; ++member) {
    const Whereabouts& where = *x.stage.whereabouts(member, x.run.base);
    if ((where.input < 0 && InputIsRead(x, member)) || (where.output < 0 && OutputIsWritten(x, member)))
      return false;
    run.inputs.push_back(x.stage.heap(member) + where.input);
    run.outputs.push_back(x.stage.heap(member) + where.output);
  }
  // Its own as it knows them: the cache shall hold them once.
  run.inputs[static_cast<size_t>(x.me)] = const_cast<std::byte*>(x.In(0));
  run.outputs[static_cast<size_t>(x.me)] = x.Out(0);
  return true;
}

bool StepDirect(const Exchange& x) {
  DirectRun& run = x.run.direct;
  const uint64_t after = x.run.base + 1;
  if (run.stage == DirectStage::kMove) {
    if (!(Sums(x.op.kind) ? AddOn(x) : CopyOn(x))) return true;
    x.stage.PublishFinished(after);
    run.stage = DirectStage::kFinished;
    return true;
  }
  // The others may still be at work on this member's tensors.
  if (x.stage.Least(&Lane::finished) < after) return false;
  run.stage = DirectStage::kOver;
  return true;
}

}  // namespace orthant::mpi
