// In place of src/device/cuda in a build without CUDA.
#include "orthant/device/device.h"

namespace orthant {

bool BuiltWithCuda() {
  return false;
}

CudaDevices FindCudaDevices() {
  CudaDevices none;
  none.problem = "this orthant was built without CUDA";
  return none;
}

void UseDevice(c10::Device) {}
void FinishDevice(c10::Device) {}
DeviceMemory MemoryOf(c10::Device) {
  return {};
}
void ResetPeakOf(c10::Device) {}
void LimitMemory(c10::Device, int64_t) {}

}  // namespace orthant
