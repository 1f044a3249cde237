// The direct course of a large collective, when all members' tensors lie in heaps that the others can read:
// everyone reads the others' tensors in place, as the threads of `local` do, and nothing is staged. Members
// meet once for a copy, twice for an all-reduce, whatever the size.
#include "absl/container/inlined_vector.h"
#include "comm/mpi_exchange.h"
#include "comm/reduce.h"

namespace orthant::mpi {
namespace {

// Smaller operations are over before the members have told each other where their tensors are.
constexpr int64_t kSmallestDirect = 256 << 10;
// Of one step; then the other groups' operations have their turn.
constexpr int64_t kReduceStep = 128 << 10;
constexpr int64_t kCopyStep = 512 << 10;

bool Reduces(OpKind kind) {
  return kind == OpKind::kAllReduce || kind == OpKind::kReduceScatter;
}

// Elements of the tensor that the members cut up between them.
int64_t WholeElements(const Exchange& x) {
  const bool whole = x.op.kind == OpKind::kAllReduce || x.op.kind == OpKind::kBroadcast;
  return whole ? x.op.count : x.op.count * x.n;
}

// Whether the others read this member's input.
bool InputIsRead(const Exchange& x, int member) {
  return x.op.kind != OpKind::kBroadcast || member == x.op.peer;
}

const std::byte* InputOf(const Exchange& x, int member) {
  return member == x.me ? x.In(0) : x.run.direct.inputs[static_cast<size_t>(member)];
}

// An all-reduce's slice that a member adds up for all, in elements.
Slice DirectSlice(const Exchange& x, int member) {
  const int64_t line = kCacheLine / x.size;
  const int64_t share = ((x.op.count + x.n - 1) / x.n + line - 1) / line * line;
  const int64_t first = std::min(x.op.count, member * share);
  return {first, std::min(x.op.count, first + share) - first};
}

void Add(const Exchange& x, int64_t begin, int64_t end, int64_t offset) {
  absl::InlinedVector<const void*, 64> sources(x.n);
  for (int member = 0; member < x.n; ++member) sources[member] = InputOf(x, member) + offset * x.size;
  void* target = x.op.output;
  ReduceInto(x.op.dtype, x.op.reduce, sources.data(), x.n, &target, 1, begin, end);
}

// What this member copies from another one: elements of that one's tensor, from `from` on, to `to` of its
// own.
struct Lift {
  const std::byte* source = nullptr;
  int64_t from = 0, to = 0, count = 0;
};

Lift LiftOf(const Exchange& x, int member) {
  const int64_t share = x.op.count;
  switch (x.op.kind) {
    case OpKind::kAllReduce: {  // the second time: what the others have added up
      const Slice slice = DirectSlice(x, member);
      if (member == x.me) return {};
      return {x.run.direct.outputs[static_cast<size_t>(member)], slice.offset, slice.offset, slice.count};
    }
    case OpKind::kBroadcast:
      if (x.root() || member != x.op.peer) return {};
      return {InputOf(x, member), 0, 0, share};
    case OpKind::kAllGather:
      return {InputOf(x, member), 0, member * share, share};
    default:  // all-to-all
      return {InputOf(x, member), x.me * share, member * share, share};
  }
}

// The next step of adding; true: nothing is left.
bool AddOn(const Exchange& x) {
  DirectRun& run = x.run.direct;
  const bool scatter = x.op.kind == OpKind::kReduceScatter;
  const Slice own = scatter ? Slice{0, x.op.count} : DirectSlice(x, x.me);
  const int64_t begin = own.offset + run.at;
  const int64_t end = std::min(own.offset + own.count, begin + kReduceStep / x.size);
  if (end > begin) Add(x, begin, end, scatter ? x.me * x.op.count : 0);
  run.at += end - begin;
  return run.at >= own.count;
}

// The next step of copying, from the neighbour on so that not all read the same; true: nothing is left.
bool CopyOn(const Exchange& x) {
  DirectRun& run = x.run.direct;
  const Lift lift = LiftOf(x, (x.me + 1 + run.member) % x.n);
  const int64_t count = std::min(lift.count - run.at, kCopyStep / x.size);
  x.Copy(x.Out(lift.to + run.at), lift.source + (lift.from + run.at) * x.size, count);
  run.at += count;
  if (run.at < lift.count) return false;
  run.at = 0;
  return ++run.member == x.n;
}

}  // namespace

bool MayGoDirect(const Exchange& x) {
  if (!x.stage.reads_heaps() || x.spread != nullptr) return false;
  switch (x.op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kReduceScatter:
    case OpKind::kAllGather:
    case OpKind::kAllToAll:
    case OpKind::kBroadcast:
      return WholeElements(x) * x.size >= kSmallestDirect;
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
    const bool known = (where.input >= 0 || !InputIsRead(x, member)) &&
                       (where.output >= 0 || x.op.kind != OpKind::kAllReduce);
    if (!known) return false;
    run.inputs.push_back(x.stage.heap(member) + where.input);
    run.outputs.push_back(x.stage.heap(member) + where.output);
  }
  return true;
}

bool StepDirect(const Exchange& x) {
  DirectRun& run = x.run.direct;
  const uint64_t after = x.run.base + 1;
  switch (run.stage) {
    case DirectStage::kTake:
      if (!(Reduces(x.op.kind) ? AddOn(x) : CopyOn(x))) return true;
      run.at = 0;
      if (x.op.kind == OpKind::kAllReduce) {
        x.stage.Publish(&Lane::ready, after);
        run.stage = DirectStage::kAdded;
      } else {
        x.stage.PublishFinished(after);
        run.stage = DirectStage::kFinished;
      }
      return true;
    case DirectStage::kAdded:
      if (x.stage.Least(&Lane::ready) < after) return false;
      run.stage = DirectStage::kFetch;
      return true;
    case DirectStage::kFetch:
      if (!CopyOn(x)) return true;
      x.stage.PublishFinished(after);
      run.stage = DirectStage::kFinished;
      return true;
    default:  // the others may still be reading this member's tensors
      if (x.stage.Least(&Lane::finished) < after) return false;
      run.stage = DirectStage::kOver;
      return true;
  }
}

}  // namespace orthant::mpi
