// Between keep_mask.cu, which nvcc compiles, and keep_mask.cpp, which knows LibTorch's streams.
#pragma once

#include <cuda_runtime_api.h>

#include "nn/keep_mask.h"

namespace orthant {

// Passed by value with the launch: no copy of its own, none that must outlive the call.
struct MaskRows {
  static constexpr int kMost = 64;
  int64_t row[kMost] = {};
};

// The first `count` elements of the samples at `rows`.
cudaError_t LaunchFillKeep(uint8_t* keep, const KeepMask& mask, const MaskRows& rows, int64_t count,
                           cudaStream_t stream);

}  // namespace orthant
