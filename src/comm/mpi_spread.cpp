// The large collectives of a Spread. Sums go from host to host, each adding its members' parts in rank order
// to what has come before, so that they have the bits that `local` gives; results go back the other way.
// Shares and broadcasts go to one member of each host, which hands them on.
#include "comm/mpi_spread.h"

#include <algorithm>
#include <limits>

#include "comm/mpi_course.h"

namespace orthant::mpi {
namespace {

constexpr int kShareTag = 10;
// Then the other groups' operations have their turn.
constexpr int kStepsAtOnce = 4;

bool AllComplete(std::vector<MPI_Request>* requests) {
  int complete = 0;
  Check(MPI_Testall(static_cast<int>(requests->size()), requests->data(), &complete, MPI_STATUSES_IGNORE),
        "MPI_Testall");
  return complete != 0;
}

// --- shares and broadcasts

// The host whose share an all-gather hands round in a piece: first our own, then those that arrive.
int GatheredHost(const Course& c, int64_t piece) {
  return (c.spread.host + c.share_host(piece)) % c.spread.hosts;
}

std::byte* Gathered(const Course& c, int host, int place, int64_t part) {
  return c.x.Out((host * c.spread.per_host() + place) * c.x.op.count + c.x.begin(part));
}

void BeginGather(const Course& c) {
  const int64_t bytes = c.x.op.count * c.x.size;
  c.run.arriving.assign(static_cast<size_t>(c.spread.hosts), MPI_REQUEST_NULL);
  c.run.leaving.reserve(static_cast<size_t>(c.spread.hosts));
  for (int step = 1; step < c.spread.hosts; ++step) {
    const int from = (c.spread.host + step) % c.spread.hosts;
    const int to = (c.spread.host + c.spread.hosts - step) % c.spread.hosts;
    c.Receive(Gathered(c, from, c.spread.place, 0), bytes, from, kShareTag,
              &c.run.arriving[static_cast<size_t>(step)]);
    c.Send(c.x.op.input, bytes, to, kShareTag, c.Leave());
  }
}

// A broadcast goes from host to host, beginning at the root's, along the members of the root's place.
int ChainPlace(const Course& c) {
  return (c.spread.host - c.x.op.peer / c.spread.per_host() + c.spread.hosts) % c.spread.hosts;
}
bool InChain(const Course& c) {
  return c.spread.place == c.x.op.peer % c.spread.per_host();
}

// All pieces are asked for at once: they go straight to where they belong.
void BeginBroadcast(const Course& c) {
  const Exchange& x = c.x;
  c.run.arriving.assign(static_cast<size_t>(x.run.pieces), MPI_REQUEST_NULL);
  c.run.leaving.reserve(static_cast<size_t>(x.run.pieces));
  if (!InChain(c) || ChainPlace(c) == 0) return;
  const int from = (c.spread.host + c.spread.hosts - 1) % c.spread.hosts;
  for (int64_t piece = 0; piece < x.run.pieces; ++piece) {
    c.Receive(x.Out(x.begin(piece)), (x.end(piece) - x.begin(piece)) * x.size, from, kShareTag,
              &c.run.arriving[static_cast<size_t>(piece)]);
  }
}

// --- the steps of a piece

bool MayStage(const Course& c, int64_t piece) {
  if (c.x.op.kind == OpKind::kAllGather)
    return Complete(&c.run.arriving[static_cast<size_t>(c.share_host(piece))]);
  return c.x.op.kind != OpKind::kBroadcast || Complete(&c.run.arriving[static_cast<size_t>(piece)]);
}

void StageOf(const Course& c, int64_t piece) {
  const Exchange& x = c.x;
  switch (x.op.kind) {
    case OpKind::kAllReduce:
      return StageSlices(x, piece);
    case OpKind::kReduceScatter: {
      const int64_t part = piece % c.parts();
      const int64_t first = c.share_host(piece) * c.spread.per_host();
      for (int to = 0; to < x.n; ++to) {
        if (to == x.me) continue;
        x.Copy(x.Part(x.me, to, piece), x.In((first + to) * x.op.count + x.begin(part)),
               x.end(part) - x.begin(part));
      }
      return;
    }
    case OpKind::kAllGather: {
      const int64_t part = piece % c.parts();
      const int host = GatheredHost(c, piece);
      const std::byte* share =
          host == c.spread.host ? x.In(x.begin(part)) : Gathered(c, host, c.spread.place, part);
      return x.Copy(x.Data(x.me, piece), share, x.end(part) - x.begin(part));
    }
    default: {
      if (!InChain(c)) return;
      const int64_t count = x.end(piece) - x.begin(piece);
      x.Copy(x.Data(x.me, piece), x.In(x.begin(piece)), count);
      if (ChainPlace(c) == c.spread.hosts - 1) return;
      c.Send(x.In(x.begin(piece)), count * x.size, (c.spread.host + 1) % c.spread.hosts, kShareTag,
             c.Leave());
    }
  }
}

void ReadOf(const Course& c, int64_t piece) {
  const Exchange& x = c.x;
  if (c.reduces()) return Add(c, piece);
  if (x.op.kind == OpKind::kBroadcast) {
    const int from = x.op.peer % c.spread.per_host();
    if (from != x.me) x.Copy(x.Out(x.begin(piece)), x.Data(from, piece), x.end(piece) - x.begin(piece));
    return;
  }
  const int64_t part = piece % c.parts();
  const int host = GatheredHost(c, piece);
  for (int step = 0; step < x.n; ++step) {
    const int from = (x.me + step) % x.n;
    if (from == x.me && host != c.spread.host) continue;  // it has arrived there
    x.Copy(Gathered(c, host, from, part), from == x.me ? x.In(x.begin(part)) : x.Data(from, piece),
           x.end(part) - x.begin(part));
  }
}

// --- the course

// Pieces, and what they are cut from.
void Begin(const Course& c) {
  const Exchange& x = c.x;
  x.run.base = x.stage.rounds();
  x.run.twice = x.op.kind == OpKind::kAllReduce;
  const int64_t whole = x.stage.slot_bytes() / x.size;
  const int64_t part = x.PartBytes() / x.size;
  CutUp(x, x.op.count,
        x.op.kind == OpKind::kAllReduce       ? part * x.n
        : x.op.kind == OpKind::kReduceScatter ? part
                                              : whole);
  if (x.op.kind == OpKind::kAllGather || x.op.kind == OpKind::kReduceScatter) x.run.pieces *= c.spread.hosts;
}

void BeginMessages(const Course& c) {
  c.run.begun = true;
  c.run.before.assign(2, MPI_REQUEST_NULL);
  c.run.after.assign(2, MPI_REQUEST_NULL);
  if (c.x.op.kind == OpKind::kAllGather) return BeginGather(c);
  if (c.x.op.kind == OpKind::kBroadcast) return BeginBroadcast(c);
  c.run.arriving.assign(static_cast<size_t>(c.x.run.pieces), MPI_REQUEST_NULL);
  c.run.leaving.reserve(static_cast<size_t>(c.x.run.pieces));
}

// Nothing is sent before the members of this host have told each other what they call.
bool BeginStep(const Course& c) {
  const Exchange& x = c.x;
  if (x.run.pieces == 0) Begin(c);
  if (x.run.staged == 0) {
    // The print lies in the first slot, whose data may have to wait for another host: it goes into the round
    // before.
    if (x.stage.Least(&Lane::read) + Stage::kSlots <= x.run.base) return false;
    StagePrint(x);
    x.run.staged = 1;
    x.stage.Publish(&Lane::staged, x.run.base + 1);
    return true;
  }
  if (x.stage.Least(&Lane::staged) <= x.run.base) return false;
  Verify(x);
  x.stage.PublishFinished(x.run.base + 1);
  x.stage.Advance(1);
  x.run.base = x.stage.rounds();
  x.run.verified = true;
  x.run.staged = 0;
  BeginMessages(c);
  return true;
}

bool Step(const Course& c) {
  const Exchange& x = c.x;
  SharedRun& run = x.run;
  Stage& stage = x.stage;
  if (!run.verified) return BeginStep(c);
  bool moved = c.reduces() && AskBefore(c);
  if (run.staged < run.pieces && stage.Least(&Lane::read) + Stage::kSlots > x.round(run.staged) &&
      MayStage(c, run.staged)) {
    StageOf(c, run.staged);
    stage.Publish(&Lane::staged, x.round(++run.staged));
    moved = true;
  }
  const bool room =
      !(run.twice && c.last_host()) || stage.Least(&Lane::finished) + Stage::kSlots > x.round(run.read);
  if (run.read < run.staged && room && stage.Least(&Lane::staged) > x.round(run.read) &&
      (!c.reduces() || MayAdd(c, run.read))) {
    ReadOf(c, run.read);
    ++run.read;
    if (!run.twice) {
      run.finished = run.read;
      stage.PublishFinished(x.round(run.read));
    } else if (c.last_host()) {
      stage.PublishReady(x.round(run.read));
    } else {
      stage.Publish(&Lane::read, x.round(run.read));
    }
    moved = true;
  }
  moved = Settle(c) || moved;
  if (run.twice && run.finished < run.read && stage.Least(&Lane::ready) > x.round(run.finished)) {
    FetchSlices(x, run.finished);
    stage.Publish(&Lane::finished, x.round(++run.finished));
    moved = true;
  }
  return moved;
}

bool Over(const Course& c) {
  const Exchange& x = c.x;
  return x.run.verified && x.run.finished == x.run.pieces && AllComplete(&c.run.arriving) &&
         AllComplete(&c.run.before) && AllComplete(&c.run.after) && AllComplete(&c.run.leaving);
}

}  // namespace

Seats SeatsOf(const std::vector<int>& host_of) {
  const auto members = static_cast<int>(host_of.size());
  const auto first_end = std::find_if(host_of.begin(), host_of.end(), [&](int h) { return h != host_of[0]; });
  const int per_host = static_cast<int>(first_end - host_of.begin());
  if (per_host < 2 || per_host == members || members % per_host != 0) return {};
  std::vector<int> seen;
  for (int member = 0; member < members; ++member) {
    const int host = host_of[static_cast<size_t>(member)];
    if (member % per_host != 0) {
      if (host != host_of[static_cast<size_t>(member) - 1]) return {};
      continue;
    }
    if (std::find(seen.begin(), seen.end(), host) != seen.end()) return {};
    seen.push_back(host);
  }
  return {members / per_host, per_host};
}

bool GoesThroughSpread(const Channel& channel, const Transfer& transfer) {
  if (channel.spread == nullptr) return false;
  const Operation& op = transfer.op;
  const int64_t size = op.element_size();
  const int64_t limit = channel.spread->stage.slot_bytes() / 4;
  switch (op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kBroadcast:
      return op.count * size > limit;
    case OpKind::kAllGather:  // a share is one message, whose count is an int
      return op.count * size * channel.size > limit && op.count * size <= std::numeric_limits<int>::max();
    case OpKind::kReduceScatter:
      return op.count * size * channel.size > limit;
    default:
      return false;
  }
}

bool AdvanceSpread(Channel* channel, Transfer* transfer, bool* moved) {
  const Course c{Exchange{*channel, *transfer}};
  try {
    for (int step = 0; step < kStepsAtOnce; ++step) {
      if (!Step(c)) {
        // Messages that leave want to be looked at, too.
        AllComplete(&c.run.after);
        AllComplete(&c.run.leaving);
        break;
      }
      *moved = true;
    }
  } catch (...) {
    if (!c.x.run.verified) GiveUp(c.x);
    throw;
  }
  if (!Over(c)) return false;
  c.x.stage.Advance(static_cast<uint64_t>(c.x.run.pieces));
  return true;
}

}  // namespace orthant::mpi
