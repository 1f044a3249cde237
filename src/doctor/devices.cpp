#include "orthant/doctor/devices.h"

#include "orthant/comm/nccl.h"
#include "orthant/device/device.h"

namespace orthant::doctor {

DeviceFacts FindDevices() {
  DeviceFacts facts;
  facts.cuda_build = BuiltWithCuda();
  if (!facts.cuda_build) return facts;
  const CudaDevices found = FindCudaDevices();
  facts.cuda = found.runtime;
  facts.nccl = NcclVersion();
  facts.error = found.problem;
  for (const CudaDevice& device : found.visible) {
    facts.devices.push_back({device.name, device.memory});
    facts.peers.push_back(device.peers);
  }
  return facts;
}

}  // namespace orthant::doctor
