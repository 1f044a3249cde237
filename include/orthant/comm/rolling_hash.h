// RollingHash: everything a rank has called on one group, in a few numbers that must balance over its
// members. Adding to it costs a few multiplications; comparing it costs one number in an all-reduce that is
// made anyway.
#pragma once

#include <cstdint>
#include <vector>

#include "orthant/comm/operation.h"

namespace orthant {

class RollingHash {
 public:
  // `rank` of `size` in the group.
  RollingHash(int rank, int size) : rank_(rank), size_(size) {}

  // Takes the operation in and returns its sequence number: 1, 2, ... among the group's collectives, or among
  // the messages of one sender to one receiver, where both ends count alike. `label`:
  // FlightRecorder::LabelHash.
  uint64_t Add(const Operation& op, uint64_t label);

  // This rank's contribution. Summed over the members it is 0 when all have called the same collectives in
  // the same order, and each sender what its receiver has; otherwise it is not 0, but for one in 2^28. Whole
  // numbers small enough that the sum over 16384 ranks with ten groups each is exact in fp64, in any order.
  double Balance() const;

 private:
  struct Channel {  // messages to or from one other member
    uint64_t hash = 0;
    uint64_t count = 0;
  };

  int rank_;
  int size_;
  uint64_t collectives_ = 0;
  uint64_t collective_count_ = 0;
  std::vector<Channel> sends_;  // by receiver; empty until the first message
  std::vector<Channel> receives_;
};

}  // namespace orthant
