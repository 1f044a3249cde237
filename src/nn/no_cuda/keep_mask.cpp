// In place of src/nn/cuda in a build without CUDA.
#include "nn/keep_mask.h"

#include "c10/util/Exception.h"

namespace orthant {

void FillKeepOnGpu(uint8_t*, const KeepMask&, const int64_t*, size_t) {
  TORCH_CHECK(false, "dropout on a GPU needs a build with CUDA (preset cuda)");
}

}  // namespace orthant
