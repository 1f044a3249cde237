// What the members of a group on one host tell each other in the first round of each collective: whether all
// call the same. All see the same prints, and come to the same conclusion.
#include "absl/strings/str_format.h"
#include "comm/mpi_exchange.h"
#include "orthant/comm/communicator.h"

namespace orthant::mpi {
namespace {

// What is wrong between the split counts of members a < b; empty: nothing.
std::string SharesDiffer(const Exchange& x, int a, int b) {
  const int64_t* of_a = x.stage.counts(a, x.run.base);
  const int64_t* of_b = x.stage.counts(b, x.run.base);
  if (of_a[b] == of_b[x.n + a] && of_b[a] == of_a[x.n + b]) return "";
  return absl::StrFormat("; rank %d sends %d to rank %d, which expects %d, and gets %d from it, expecting %d",
                         a, of_a[b], b, of_b[x.n + a], of_b[a], of_a[x.n + b]);
}

}  // namespace

void CutUp(const Exchange& x, int64_t extent, int64_t largest) {
  x.run.extent = extent;
  x.run.piece = largest;
  x.run.pieces = std::max<int64_t>(1, (extent + largest - 1) / largest);
}

void StagePrint(const Exchange& x) {
  *x.stage.print(x.me, x.run.base) = FingerprintOf(x.op);
}

void Verify(const Exchange& x) {
  const int lowest = x.channel.rank - x.me;  // of the members on this host
  const Fingerprint& first = *x.stage.print(0, x.run.base);
  for (int member = 0; member < x.n; ++member) {
    const Fingerprint& other = *x.stage.print(member, x.run.base);
    bool same = member == 0 || SameCollective(first, other, x.channel.check);
    std::string shares;
    if (same && first.kind == OpKind::kAllToAllSplit) {
      for (int before = 0; before <= member && shares.empty(); ++before)
        shares = SharesDiffer(x, before, member);
    }
    if (same && shares.empty()) continue;
    x.transfer.error_is_whole = true;
    throw CommError(
        absl::StrFormat("the ranks of %s disagree on collective %d: rank %d calls %s, rank %d calls %s%s",
                        x.channel.name, first.sequence, lowest, Describe(OperationOf(first)), lowest + member,
                        Describe(OperationOf(other)), shares));
  }
}

void GiveUp(const Exchange& x) {
  x.stage.PublishFinished(x.run.base + 1);
  x.stage.Advance(1);
}

}  // namespace orthant::mpi
