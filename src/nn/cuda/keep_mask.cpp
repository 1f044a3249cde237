// The mask of dropout on LibTorch's streams. Only in builds with CUDA.
#include "nn/keep_mask.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>

#include "nn/cuda/keep_mask_launch.h"

namespace orthant {

void FillKeepOnGpu(uint8_t* keep, const KeepMask& mask, const int64_t* rows, size_t count) {
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
  if (mask.sample() == 0) return;
  for (size_t done = 0; done < count; done += MaskRows::kMost) {
    const size_t some = std::min<size_t>(count - done, MaskRows::kMost);
    MaskRows part;
    std::copy_n(rows + done, some, part.row);
    const int64_t elements = static_cast<int64_t>(some) * mask.sample();
    C10_CUDA_CHECK(LaunchFillKeep(keep, mask, part, elements, stream));
    keep += elements;
  }
}

}  // namespace orthant
