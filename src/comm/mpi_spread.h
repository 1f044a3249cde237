// Spread: a group whose members sit on several hosts, equally many on each, one host after the other. On each
// host they share memory; between hosts a member exchanges messages with those of its own place only, so that
// every byte crosses once a host, not once a member.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

#include "comm/mpi_stage.h"

namespace orthant::mpi {

struct Channel;
struct Transfer;

struct Spread {
  Stage stage;  // of the members on this host
  int hosts = 1;
  int host = 0;   // this one, in the group's order
  int place = 0;  // of this member on its host
  // What a reduction has come to before this host and after it, two pieces of each.
  std::vector<std::byte> before[2];
  std::vector<std::byte> after[2];

  int per_host() const { return stage.members(); }
  // The member of the same place on another host, as a rank of the group.
  int peer(int other) const { return other * per_host() + place; }
};

// Where the members of a group sit, if they sit so that a Spread serves them; else hosts = 0.
struct Seats {
  int hosts = 0;
  int per_host = 0;
};
// `host_of`: of each member, in the group's order; any number that tells hosts apart.
Seats SeatsOf(const std::vector<int>& host_of);

// How far a collective of a Spread is, beside its SharedRun.
struct SpreadRun {
  bool begun = false;                 // its messages are on their way
  int64_t asked = 0;                  // pieces whose instalment from the host before is on its way
  int64_t settled = 0;                // pieces whose result is here
  std::vector<MPI_Request> arriving;  // of each piece, or of each host's share
  std::vector<MPI_Request> before;    // two
  std::vector<MPI_Request> after;     // two
  std::vector<MPI_Request> leaving;   // of results and shares
};

// Whether the operation goes through the channel's Spread. The same on all members.
bool GoesThroughSpread(const Channel& channel, const Transfer& transfer);
// Moves it on, by a few steps at most; true: it is over here. Throws CommError.
bool AdvanceSpread(Channel* channel, Transfer* transfer, bool* moved);

}  // namespace orthant::mpi
