// Whose kernels an operation runs. This project's own are for the processor; on a GPU the same operations are
// made of LibTorch's, which run on the processor too: there, tests compare both.
#pragma once

#include "ATen/core/Tensor.h"

namespace orthant {

// Whether an operation on `tensor` runs this project's kernels: it lies in main memory, and the calling
// thread has no AtenKernels.
bool OwnKernels(const at::Tensor& tensor);

// While it lives, operations of the thread that made it run LibTorch's kernels on the processor, as they
// would on a GPU.
class AtenKernels {
 public:
  AtenKernels();
  ~AtenKernels();
  AtenKernels(const AtenKernels&) = delete;
  AtenKernels& operator=(const AtenKernels&) = delete;

 private:
  bool previous_;
};

}  // namespace orthant
