// comm.check: before an operation moves data its members tell each other what they call. A first stage of the
// transfer, as asynchronous as the rest, so that it waits for nothing the operation would not wait for, but
// that a send now waits for its receive.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_format.h"
#include "comm/mpi_engine.h"
#include "orthant/comm/communicator.h"

namespace orthant::mpi {
namespace {

constexpr int kSendersTag = 2;    // the sender's fingerprint
constexpr int kReceiversTag = 3;  // the receiver's

bool SameLabel(const Fingerprint& a, const Fingerprint& b) {
  return a.layer == b.layer && a.microbatch == b.microbatch && std::strcmp(a.what, b.what) == 0;
}

[[noreturn]] void Disagree(Transfer* t, std::string text) {
  t->error_is_whole = true;
  throw CommError(std::move(text));
}

bool PostMessageCheck(Channel* c, Transfer* t) {
  const bool send = t->op.kind == OpKind::kSend;
  if (t->check_stage == 0) {
    t->prints = {FingerprintOf(t->op), Fingerprint{}};
    t->check_stage = 1;
    t->requests.resize(2, MPI_REQUEST_NULL);
    Check(MPI_Irecv(&t->prints[1], sizeof(Fingerprint), MPI_BYTE, t->op.peer,
                    send ? kReceiversTag : kSendersTag, c->comm, t->requests.data()),
          "MPI_Irecv");
    Check(MPI_Isend(t->prints.data(), sizeof(Fingerprint), MPI_BYTE, t->op.peer,
                    send ? kSendersTag : kReceiversTag, c->comm, &t->requests[1]),
          "MPI_Isend");
    return true;
  }
  const Fingerprint& from = t->prints[send ? 0 : 1];
  const Fingerprint& to = t->prints[send ? 1 : 0];
  if (from.count != to.count || from.dtype != to.dtype || from.sequence != to.sequence ||
      !SameLabel(from, to)) {
    Disagree(t, absl::StrFormat("%s: rank %d calls %s to rank %d, which calls %s (message %d)", c->name,
                                send ? c->rank : t->op.peer, Describe(OperationOf(from)),
                                send ? t->op.peer : c->rank, Describe(OperationOf(to)), from.sequence));
  }
  return false;
}

bool PostCollectiveCheck(Channel* c, Transfer* t) {
  const auto n = static_cast<size_t>(c->size);
  if (t->check_stage == 0) {
    t->check_stage = 1;
    t->prints.assign(n + 1, Fingerprint{});
    t->prints[n] = FingerprintOf(t->op);
    t->requests.push_back(MPI_REQUEST_NULL);
    Check(MPI_Iallgather(&t->prints[n], sizeof(Fingerprint), MPI_BYTE, t->prints.data(), sizeof(Fingerprint),
                         MPI_BYTE, c->comm, t->requests.data()),
          "MPI_Iallgather");
    return true;
  }
  if (t->check_stage == 1) {
    for (size_t member = 1; member < n; ++member) {
      if (SameCollective(t->prints[0], t->prints[member], /*labels=*/true)) continue;
      Disagree(t,
               absl::StrFormat("the ranks of %s disagree on collective %d: rank 0 calls %s, rank %d calls %s",
                               c->name, t->op.sequence, Describe(OperationOf(t->prints[0])), member,
                               Describe(OperationOf(t->prints[member]))));
    }
    if (t->op.kind != OpKind::kAllToAllSplit) return false;
    t->check_stage = 2;
    t->shares.assign(n, 0);
    t->requests.push_back(MPI_REQUEST_NULL);
    Check(MPI_Ialltoall(t->op.input_counts->data(), 1, MPI_INT64_T, t->shares.data(), 1, MPI_INT64_T, c->comm,
                        t->requests.data()),
          "MPI_Ialltoall");
    return true;
  }
  for (size_t member = 0; member < n; ++member) {
    const int64_t expected = (*t->op.output_counts)[member];
    if (t->shares[member] == expected) continue;
    throw CommError(absl::StrFormat("rank %d sends %d to this rank, which expects %d", member,
                                    t->shares[member], expected));
  }
  return false;
}

}  // namespace

Fingerprint FingerprintOf(const Operation& op) {
  Fingerprint print{};  // with its padding: the bytes are sent
  print.kind = op.kind;
  print.reduce = op.reduce;
  print.dtype = op.dtype;
  print.peer = op.peer;
  print.count = op.count;
  print.sequence = op.sequence;
  print.layer = op.label.layer;
  print.microbatch = op.label.microbatch;
  std::strncpy(print.what, op.label.what, sizeof(print.what) - 1);
  return print;
}

Operation OperationOf(const Fingerprint& print) {
  Operation op;
  op.kind = print.kind;
  op.reduce = print.reduce;
  op.dtype = print.dtype;
  op.peer = print.peer;
  op.count = print.count;
  op.label = Label(print.what, print.layer, print.microbatch);
  return op;
}

bool SameCollective(const Fingerprint& a, const Fingerprint& b, bool labels) {
  return a.kind == b.kind && a.reduce == b.reduce && a.dtype == b.dtype && a.peer == b.peer &&
         a.count == b.count && a.sequence == b.sequence && (!labels || SameLabel(a, b));
}

bool PostCheck(Channel* channel, Transfer* transfer) {
  return transfer->op.point_to_point() ? PostMessageCheck(channel, transfer)
                                       : PostCollectiveCheck(channel, transfer);
}

}  // namespace orthant::mpi
