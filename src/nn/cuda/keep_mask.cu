// The mask of dropout on a GPU: LibTorch has no random numbers by logical position. One thread an element.
#include "nn/cuda/keep_mask_launch.h"

namespace orthant {
namespace {

__global__ void FillKeep(uint8_t* keep, KeepMask mask, MaskRows rows, int64_t count) {
  const int64_t sample = mask.sample(), step = static_cast<int64_t>(blockDim.x) * gridDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    keep[i] = Keeps(mask, rows.row[i / sample], i % sample);
  }
}

}  // namespace

cudaError_t LaunchFillKeep(uint8_t* keep, const KeepMask& mask, const MaskRows& rows, int64_t count,
                           cudaStream_t stream) {
  constexpr int kThreads = 256;
  constexpr int64_t kMostBlocks = 65536;  // threads go on in strides
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  FillKeep<<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0, stream>>>(keep, mask, rows,
                                                                                                count);
  return cudaGetLastError();
}

}  // namespace orthant
