// The sums of a Spread between hosts. In rank order: what the hosts before have come to, in the type that
// accumulates, then this host's members; so the bits are those that `local` gives.
#include "absl/container/inlined_vector.h"
#include "comm/mpi_course.h"
#include "comm/reduce.h"

namespace orthant::mpi {
namespace {

constexpr int kInstalmentTag = 8;
constexpr int kResultTag = 9;

// What this member adds up of a piece: where it lies in each member's memory, and where its sum goes.
struct Sum {
  absl::InlinedVector<const void*, 64> sources;
  int64_t count = 0;
  std::byte* target = nullptr;  // null: another host's
};

Sum SumOf(const Course& c, int64_t piece) {
  const Exchange& x = c.x;
  Sum sum;
  sum.sources.resize(static_cast<size_t>(x.n));
  if (x.op.kind == OpKind::kAllReduce) {
    const Slice own = SliceOf(x, piece, x.me);
    for (int member = 0; member < x.n; ++member)
      sum.sources[static_cast<size_t>(member)] = x.Data(member, piece) + own.offset * x.size;
    sum.sources[static_cast<size_t>(x.me)] = x.In(x.begin(piece) + own.offset);
    sum.count = own.count;
    sum.target = x.Out(x.begin(piece) + own.offset);
    return sum;
  }
  const int host = c.share_host(piece);
  const int64_t part = piece % c.parts();
  for (int member = 0; member < x.n; ++member)
    sum.sources[static_cast<size_t>(member)] = x.Part(member, x.me, piece);
  sum.sources[static_cast<size_t>(x.me)] = x.In(c.spread.peer(host) * x.op.count + x.begin(part));
  sum.count = x.end(part) - x.begin(part);
  if (host == c.spread.host) sum.target = x.Out(x.begin(part));
  return sum;
}

std::byte* Buffer(const Course& c, std::vector<std::byte>* buffers, int64_t piece) {
  std::vector<std::byte>& buffer = buffers[piece % 2];
  const auto bytes = static_cast<size_t>(c.x.PartBytes() * 2);  // fp32 for what has 16 bits
  if (buffer.size() < bytes) buffer.resize(bytes);
  return buffer.data();
}

}  // namespace

bool Complete(MPI_Request* request) {
  if (*request == MPI_REQUEST_NULL) return true;
  int complete = 0;
  Check(MPI_Test(request, &complete, MPI_STATUS_IGNORE), "MPI_Test");
  return complete != 0;
}

bool AskBefore(const Course& c) {
  const Exchange& x = c.x;
  if (c.spread.host == 0 || c.run.asked == x.run.pieces || c.run.asked >= x.run.read + 2) return false;
  const int64_t bytes = SumOf(c, c.run.asked).count * InstalmentSize(x.op.dtype);
  c.Receive(Buffer(c, c.spread.before, c.run.asked), bytes, c.spread.host - 1, kInstalmentTag,
            &c.run.before[static_cast<size_t>(c.run.asked % 2)]);
  ++c.run.asked;
  return true;
}

bool MayAdd(const Course& c, int64_t piece) {
  const auto which = static_cast<size_t>(piece % 2);
  return c.run.asked >= (c.spread.host == 0 ? 0 : piece + 1) && Complete(&c.run.before[which]) &&
         Complete(&c.run.after[which]);
}

void Add(const Course& c, int64_t piece) {
  const Exchange& x = c.x;
  const Sum sum = SumOf(c, piece);
  Instalment instalment;
  if (c.spread.host > 0) instalment.before = Buffer(c, c.spread.before, piece);
  absl::InlinedVector<void*, 2> targets;
  if (!c.last_host()) {
    instalment.after = Buffer(c, c.spread.after, piece);
  } else if (sum.target == nullptr) {
    targets.push_back(Buffer(c, c.spread.after, piece));
  } else {
    targets.push_back(sum.target);
    if (x.run.twice) targets.push_back(x.stage.result(x.me, x.round(piece)));
  }
  ReduceInto(x.op.dtype, x.op.reduce, sum.sources.data(), x.n, targets.data(),
             static_cast<int>(targets.size()), 0, sum.count, instalment);
  MPI_Request* after = &c.run.after[static_cast<size_t>(piece % 2)];
  const int64_t bytes = sum.count * x.size;
  if (!c.last_host()) {
    c.Send(instalment.after, sum.count * InstalmentSize(x.op.dtype), c.spread.host + 1, kInstalmentTag,
           after);
    if (sum.target == nullptr) return;
    // Its place in our own tensor is free: what lay there has been added.
    const int from = x.run.twice ? c.spread.host + 1 : c.spread.hosts - 1;
    c.Receive(sum.target, bytes, from, kResultTag, &c.run.arriving[static_cast<size_t>(piece)]);
  } else if (sum.target == nullptr) {
    c.Send(targets[0], bytes, c.share_host(piece), kResultTag, after);
  } else if (x.run.twice) {
    c.Send(sum.target, bytes, c.spread.host - 1, kResultTag, c.Leave());
  }
}

bool Settle(const Course& c) {
  const Exchange& x = c.x;
  const int64_t piece = c.run.settled;
  if (!x.run.twice || c.last_host() || piece >= x.run.read ||
      x.stage.Least(&Lane::finished) + Stage::kSlots <= x.round(piece) ||
      !Complete(&c.run.arriving[static_cast<size_t>(piece)])) {
    return false;
  }
  const Sum sum = SumOf(c, piece);
  x.Copy(x.stage.result(x.me, x.round(piece)), sum.target, sum.count);
  if (c.spread.host > 0) c.Send(sum.target, sum.count * x.size, c.spread.host - 1, kResultTag, c.Leave());
  x.stage.Publish(&Lane::ready, x.round(++c.run.settled));
  return true;
}

}  // namespace orthant::mpi
