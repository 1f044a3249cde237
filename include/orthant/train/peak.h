// The peak that mfu is measured against.
#pragma once

#include <string>

#include "orthant/comm/communicator.h"
#include "orthant/train/launch.h"

namespace orthant {

struct PeakRate {
  double flops = 1.0;  // FLOP/s of one rank
  std::string source;
};

// `configured_tflops` where it is above 0; else measured on this host: the best of a few fp32 matrix products
// with all cores on rank 0 while the others wait, shared among the ranks of the host; or, where ranks compute
// on GPUs, of a few products in `dtype` on rank 0's. The same on every rank. Collective.
PeakRate PeakOfRank(double configured_tflops, const RankEnvironment& environment, Communicator& world,
                    at::ScalarType dtype = at::kFloat);

}  // namespace orthant
