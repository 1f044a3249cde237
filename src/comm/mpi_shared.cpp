// The course of a collective in shared memory: every member copies what the others need, a piece at a time,
// into its slots, and the others read it there; while one slot is read the next one is filled. Large ones go
// without slots where members can reach into each other's tensors (mpi_direct.cpp). Nothing here waits: a
// step is made when the others' counters allow it.
#include <algorithm>

#include "comm/mpi_exchange.h"

namespace orthant::mpi {
namespace {

// Up to this many bytes arriving at a member, everyone reads everything and adds it all: the members meet
// once a piece, not twice.
constexpr int64_t kReadAllBytes = 64 << 10;
// Then the other groups' operations have their turn.
constexpr int kStepsAtOnce = 4;

// Cuts the operation's share, or the largest of a split one, into pieces.
void Cut(const Exchange& x, int64_t extent) {
  const int64_t whole = x.stage.slot_bytes() / x.size;
  const int64_t part = x.PartBytes() / x.size;
  switch (x.op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kReduce:
      x.run.twice = extent * x.size * x.n > kReadAllBytes;
      return CutUp(x, extent, x.run.twice ? part * x.n : whole);
    case OpKind::kBroadcast:
    case OpKind::kAllGather:
    case OpKind::kGather:
      return CutUp(x, extent, whole);
    default:
      return CutUp(x, extent, part);
  }
}

void Begin(const Exchange& x) {
  x.run.base = x.stage.rounds();
  x.run.told = x.op.kind == OpKind::kAllToAllSplit || MayGoDirect(x);
  Cut(x, x.run.told ? 0 : x.op.count);
}

void StageFirst(const Exchange& x, const Host& host) {
  StagePrint(x);
  if (x.op.kind == OpKind::kAllToAllSplit) {
    int64_t* counts = x.stage.counts(x.me, x.run.base);
    std::copy(x.op.input_counts->begin(), x.op.input_counts->end(), counts);
    std::copy(x.op.output_counts->begin(), x.op.output_counts->end(), counts + x.n);
  } else if (x.run.told) {
    TellWhereabouts(x, host);
  }
  StagePiece(x, 0);
}

int64_t LargestLot(const Exchange& x) {
  int64_t largest = 0;
  for (int member = 0; member < x.n; ++member) {
    const int64_t* counts = x.stage.counts(member, x.run.base);
    largest = std::max(largest, *std::max_element(counts, counts + x.n));
  }
  return largest;
}

// All have told how far split counts go, or where their tensors are: now comes the data, after the round that
// is over.
void BeginData(const Exchange& x) {
  const bool split = x.op.kind == OpKind::kAllToAllSplit;
  const int64_t extent = split ? LargestLot(x) : x.op.count;
  if (!split && FindTensors(x)) x.run.direct.stage = DirectStage::kMove;
  x.stage.PublishFinished(x.run.base + 1);
  x.stage.Advance(1);
  x.run.base = x.stage.rounds();
  x.run.staged = 0;
  Cut(x, extent);
}

// One step, if one can be made now.
bool Step(const Exchange& x, const Host& host) {
  constexpr uint64_t kAhead = Stage::kSlots;
  SharedRun& run = x.run;
  Stage& stage = x.stage;
  if (run.pieces == 0) Begin(x);
  if (!run.verified && run.staged > 0) {
    if (stage.Least(&Lane::staged) <= run.base) return false;
    Verify(x);
    run.verified = true;
    if (run.told) BeginData(x);
  }
  if (run.direct.stage != DirectStage::kNot) return StepDirect(x);
  // What lets the others go on comes first.
  if (run.staged < (run.verified ? run.pieces : 1) &&
      stage.Least(&Lane::read) + kAhead > x.round(run.staged)) {
    run.verified ? StagePiece(x, run.staged) : StageFirst(x, host);
    stage.Publish(&Lane::staged, x.round(++run.staged));
    return true;
  }
  if (run.verified && run.read < run.staged && stage.Least(&Lane::staged) > x.round(run.read) &&
      (!run.twice || stage.Least(&Lane::finished) + kAhead > x.round(run.read))) {
    ReadPiece(x, run.read);
    ++run.read;
    if (run.twice) {
      stage.PublishReady(x.round(run.read));
    } else {
      run.finished = run.read;
      stage.PublishFinished(x.round(run.read));
    }
    return true;
  }
  if (run.twice && run.finished < run.read && stage.Least(&Lane::ready) > x.round(run.finished)) {
    FetchSlices(x, run.finished);
    stage.Publish(&Lane::finished, x.round(++run.finished));
    return true;
  }
  return false;
}

}  // namespace

bool AdvanceShared(Channel* channel, Transfer* transfer, const Host& host, bool* moved) {
  const Exchange x{*channel, *transfer};
  try {
    for (int step = 0; step < kStepsAtOnce; ++step) {
      if (!Step(x, host)) return false;
      *moved = true;
      if (x.run.direct.stage == DirectStage::kOver) {
        x.stage.Advance(1);
        return true;
      }
      if (x.run.direct.stage == DirectStage::kNot && x.run.verified && x.run.finished == x.run.pieces) {
        x.stage.Advance(static_cast<uint64_t>(x.run.pieces));
        return true;
      }
    }
  } catch (...) {
    GiveUp(x);
    throw;
  }
  return false;
}

}  // namespace orthant::mpi
