// The accelerators of a process, as the room `device` finds them. A build without CUDA finds none and says
// so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace orthant::doctor {

struct Device {
  std::string name;
  int64_t memory = 0;  // bytes
};

struct DeviceFacts {
  bool cuda_build = false;  // this binary can use CUDA devices
  std::string cuda, nccl;   // versions; empty where not built
  std::string error;        // why devices that may be there cannot be used
  std::vector<Device> devices;
  // For each device those that it can read and write directly (peer access), itself left out.
  std::vector<std::vector<int>> peers;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Device, name, memory)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(DeviceFacts, cuda_build, cuda, nccl, error, devices, peers)

// Looks at this process's devices. Does not throw: what goes wrong is in `error`.
DeviceFacts FindDevices();

}  // namespace orthant::doctor
