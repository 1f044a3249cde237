// In place of src/comm/cuda in a build without CUDA.
#include "orthant/comm/nccl.h"

namespace orthant {

const NcclTable* RealNcclTable() {
  return nullptr;
}

const DeviceTable* RealDeviceTable() {
  return nullptr;
}

}  // namespace orthant
