// How long a rank computes: products by their shape, element-wise kernels by the bytes they move, and what
// issuing them costs. docs/planning.md derives the counts.
#pragma once

#include <cstdint>

#include "orthant/plan/layout.h"

namespace orthant {

// Seconds of `batch` products of [m, k] by [k, n]: arithmetic in tiles that fill the multiprocessors wave by
// wave, or the memory's bandwidth, whichever takes longer. Elements of `bytes`.
double MatmulSeconds(const Machine& machine, int64_t m, int64_t n, int64_t k, int64_t batch, double bytes);

// A microbatch through one block on one rank, communication left out. Seconds.
struct BlockTime {
  double forward = 0;     // arithmetic and memory
  double backward = 0;    // without recompute
  double attention = 0;   // of forward, the core alone: what selective recompute repeats
  double weight_qkv = 0;  // of backward, the gradients of the two column-parallel weights: what an
  double weight_mlp = 0;  // all-reduce of the input's gradient can run beside
  double overhead = 0;    // of forward and backward together
  double floor = 0;       // least time of forward and backward together

  // With the floor and the communication that nothing hides, seconds.
  double Forward(double communication) const;
  double Backward(double communication) const;
};

BlockTime TimeOfBlock(const Machine& machine, const Workload& workload, const PlannedLayout& layout);

// The vocabulary's projection and the loss: seconds of a microbatch.
struct HeadTime {
  double forward = 0, backward = 0;
};
HeadTime TimeOfHead(const Machine& machine, const Workload& workload, const PlannedLayout& layout);

}  // namespace orthant
