// The steps of each collective in shared memory: what a member copies into its slots for the others, and what
// it takes out of theirs. Sums are taken in rank order, as in `local`.
#include "comm/mpi_exchange.h"

#include "absl/container/inlined_vector.h"
#include "comm/reduce.h"

namespace orthant::mpi {
namespace {

void AddSlice(const Exchange& x, int64_t piece) {
  const Slice own = SliceOf(x, piece, x.me);
  absl::InlinedVector<const void*, 64> sources(x.n);
  for (int member = 0; member < x.n; ++member) {
    sources[member] =
        member == x.me ? x.In(x.begin(piece) + own.offset) : x.Data(member, piece) + own.offset * x.size;
  }
  absl::InlinedVector<void*, 2> targets;
  const bool all = x.op.kind == OpKind::kAllReduce;
  if (all || x.root()) targets.push_back(x.Out(x.begin(piece) + own.offset));
  if (all || !x.root()) targets.push_back(x.stage.result(x.me, x.round(piece)));
  ReduceInto(x.op.dtype, x.op.reduce, sources.data(), x.n, targets.data(), static_cast<int>(targets.size()),
             0, own.count);
}

// --- small reductions, and parts of them

void AddAll(const Exchange& x, int64_t piece) {
  if (x.op.kind == OpKind::kReduce && !x.root()) return;
  absl::InlinedVector<const void*, 64> sources(x.n);
  for (int member = 0; member < x.n; ++member) {
    sources[member] = member == x.me ? x.In(x.begin(piece)) : x.Data(member, piece);
  }
  void* target = x.Out(x.begin(piece));
  ReduceInto(x.op.dtype, x.op.reduce, sources.data(), x.n, &target, 1, 0, x.end(piece) - x.begin(piece));
}

void AddParts(const Exchange& x, int64_t piece) {
  absl::InlinedVector<const void*, 64> sources(x.n);
  for (int member = 0; member < x.n; ++member) {
    sources[member] = member == x.me ? x.In(x.me * x.op.count + x.begin(piece)) : x.Part(member, x.me, piece);
  }
  void* target = x.Out(x.begin(piece));
  ReduceInto(x.op.dtype, x.op.reduce, sources.data(), x.n, &target, 1, 0, x.end(piece) - x.begin(piece));
}

// --- all_to_all_split: what goes from one member to another, where it lies in the sender's input and in the
// receiver's output

struct Lot {
  int64_t offset = 0;
  int64_t count = 0;
};

Lot LotOf(const std::vector<int64_t>& counts, int member) {
  Lot lot;
  for (int i = 0; i < member; ++i) lot.offset += counts[static_cast<size_t>(i)];
  lot.count = counts[static_cast<size_t>(member)];
  return lot;
}

// The elements of a lot that a piece holds.
int64_t LotPart(const Exchange& x, const Lot& lot, int64_t piece) {
  return std::min(lot.count, x.end(piece)) - std::min(lot.count, x.begin(piece));
}

void StageLots(const Exchange& x, int64_t piece) {
  for (int to = 0; to < x.n; ++to) {
    const Lot lot = LotOf(*x.op.input_counts, to);
    if (to != x.me) {
      x.Copy(x.Part(x.me, to, piece), x.In(lot.offset + x.begin(piece)), LotPart(x, lot, piece));
    }
  }
}

void FetchLots(const Exchange& x, int64_t piece) {
  for (int step = 0; step < x.n; ++step) {
    const int from = (x.me + step) % x.n;
    const Lot lot = LotOf(*x.op.output_counts, from);
    const std::byte* data = from == x.me ? x.In(LotOf(*x.op.input_counts, x.me).offset + x.begin(piece))
                                         : x.Part(from, x.me, piece);
    x.Copy(x.Out(lot.offset + x.begin(piece)), data, LotPart(x, lot, piece));
  }
}

}  // namespace

void StagePiece(const Exchange& x, int64_t piece) {
  const int64_t begin = x.begin(piece);
  const int64_t count = x.end(piece) - begin;
  if (count == 0) return;
  std::byte* data = x.Data(x.me, piece);
  switch (x.op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kReduce:
      if (x.run.twice) return StageSlices(x, piece);
      if (x.op.kind == OpKind::kAllReduce || !x.root()) x.Copy(data, x.In(begin), count);
      return;
    case OpKind::kAllGather:
      return x.Copy(data, x.In(begin), count);
    case OpKind::kGather:
      if (!x.root()) x.Copy(data, x.In(begin), count);
      return;
    case OpKind::kBroadcast:
      if (x.root()) x.Copy(data, x.In(begin), count);
      return;
    case OpKind::kAllToAllSplit:
      return StageLots(x, piece);
    case OpKind::kScatter:
      if (!x.root()) return;
      [[fallthrough]];
    case OpKind::kReduceScatter:
    case OpKind::kAllToAll:
      for (int to = 0; to < x.n; ++to) {
        if (to != x.me) x.Copy(x.Part(x.me, to, piece), x.In(to * x.op.count + begin), count);
      }
      return;
    default:
      return;
  }
}

void ReadPiece(const Exchange& x, int64_t piece) {
  const int64_t begin = x.begin(piece);
  const int64_t count = x.end(piece) - begin;
  if (count == 0) return;
  const int64_t share = x.op.count;
  switch (x.op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kReduce:
      return x.run.twice ? AddSlice(x, piece) : AddAll(x, piece);
    case OpKind::kReduceScatter:
      return AddParts(x, piece);
    case OpKind::kBroadcast:
      if (!x.root()) x.Copy(x.Out(begin), x.Data(x.op.peer, piece), count);
      return;
    case OpKind::kScatter:
      return x.Copy(x.Out(begin), x.root() ? x.In(x.me * share + begin) : x.Part(x.op.peer, x.me, piece),
                    count);
    case OpKind::kGather:
      if (!x.root()) return;
      [[fallthrough]];
    case OpKind::kAllGather:
      for (int step = 0; step < x.n; ++step) {
        const int from = (x.me + step) % x.n;
        x.Copy(x.Out(from * share + begin), from == x.me ? x.In(begin) : x.Data(from, piece), count);
      }
      return;
    case OpKind::kAllToAll:
      for (int step = 0; step < x.n; ++step) {
        const int from = (x.me + step) % x.n;
        x.Copy(x.Out(from * share + begin),
               from == x.me ? x.In(x.me * share + begin) : x.Part(from, x.me, piece), count);
      }
      return;
    case OpKind::kAllToAllSplit:
      return FetchLots(x, piece);
    default:
      return;
  }
}

Slice SliceOf(const Exchange& x, int64_t piece, int member) {
  return SliceOfCount(x, x.end(piece) - x.begin(piece), member);
}

Slice SliceOfCount(const Exchange& x, int64_t count, int member) {
  const int64_t line = kCacheLine / x.size;
  const int64_t slice = ((count + x.n - 1) / x.n + line - 1) / line * line;
  const int64_t first = std::min(count, member * slice);
  return {first, std::min(count, first + slice) - first};
}

void StageSlices(const Exchange& x, int64_t piece) {
  const Slice own = SliceOf(x, piece, x.me);
  const int64_t after = own.offset + own.count;
  const int64_t begin = x.begin(piece);
  std::byte* data = x.Data(x.me, piece);
  x.Copy(data, x.In(begin), own.offset);
  x.Copy(data + after * x.size, x.In(begin + after), x.end(piece) - begin - after);
}

void FetchSlices(const Exchange& x, int64_t piece) {
  if (x.op.kind == OpKind::kReduce && !x.root()) return;
  for (int step = 1; step < x.n; ++step) {
    const int member = (x.me + step) % x.n;
    const Slice slice = SliceOf(x, piece, member);
    x.Copy(x.Out(x.begin(piece) + slice.offset), x.stage.result(member, x.round(piece)), slice.count);
  }
}

}  // namespace orthant::mpi
