// Course: a large collective of a Spread on one member, in the midst of it, and what its sums do between
// hosts.
#pragma once

#include <mpi.h>

#include "comm/mpi_exchange.h"

namespace orthant::mpi {

// One collective on one member, piece by piece. A piece is staged for the members of the host, then read;
// where results are shared, they settle and are fetched.
struct Course {
  Exchange x;
  Spread& spread = *x.spread;
  SpreadRun& run = x.transfer.spread;

  bool last_host() const { return spread.host == spread.hosts - 1; }
  bool reduces() const { return x.op.kind == OpKind::kAllReduce || x.op.kind == OpKind::kReduceScatter; }
  // Pieces of each host's share, of the operations that have one a host.
  int64_t parts() const { return x.run.pieces / spread.hosts; }
  int share_host(int64_t piece) const { return static_cast<int>(piece / parts()); }

  void Send(const void* data, int64_t bytes, int host, int tag, MPI_Request* request) const {
    Check(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, spread.peer(host), tag, x.channel.comm, request),
          "MPI_Isend");
  }
  void Receive(void* data, int64_t bytes, int host, int tag, MPI_Request* request) const {
    Check(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, spread.peer(host), tag, x.channel.comm, request),
          "MPI_Irecv");
  }
  MPI_Request* Leave() const {
    run.leaving.push_back(MPI_REQUEST_NULL);
    return &run.leaving.back();
  }
};

bool Complete(MPI_Request* request);

// Sums: each host goes on from what the host before has come to.
// Asks for that, two pieces ahead; true: something was asked.
bool AskBefore(const Course& course);
// Whether it has come, and what this host has come to may be written.
bool MayAdd(const Course& course, int64_t piece);
// Adds this host's members' parts and hands over to the next host; the last one has the result.
void Add(const Course& course, int64_t piece);
// Gives a result of an all-reduce, which has come from the next host, to this host's members and to the host
// before; true: there was one.
bool Settle(const Course& course);

}  // namespace orthant::mpi
