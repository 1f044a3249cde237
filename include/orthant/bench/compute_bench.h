// How fast this machine's ranks compute while all of them do: what `orthant bench calibrate` tells a planner.
#pragma once

#include "orthant/comm/communicator.h"
#include "orthant/train/launch.h"

namespace orthant {

// Of the slowest rank, all at work at once.
struct ComputeRates {
  double product = 0;      // FLOP/s of a large fp32 matrix product, the best
  double products = 0;     // the same of a transformer's shapes, the median
  double score = 0;        // s of a score of fused fp32 attention whose heads are nothing wide
  double score_depth = 0;  // and what each of a head's dimensions adds
  double activation = 0;   // s of an element of GELU
  double memory = 0;       // bytes/s that an element-wise operation reads and writes
  double skew = 0;         // s that an all-reduce of almost nothing takes behind half a block's work
};

// Collective over `world`; about `seconds` a rate.
ComputeRates BenchCompute(double seconds, Communicator& world, const RankEnvironment& environment);

}  // namespace orthant
