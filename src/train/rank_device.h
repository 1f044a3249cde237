// Which device each rank of a run computes on: every rank chooses, all settle.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "c10/core/Device.h"
#include "orthant/comm/communicator.h"
#include "orthant/device/device.h"

namespace orthant {

struct RankDevice {
  c10::Device device = c10::DeviceType::CPU;
  std::string name;  // "NVIDIA H100 80GB HBM3"; empty: the processor
};

// For train.device = `wanted`. `world`: all ranks, when they are processes; null: this process has them all.
// Makes the device the calling thread's. EnvironmentError as ChooseDevice and SettleDevices, the same on
// every rank. Collective.
absl::StatusOr<RankDevice> TakeDevice(const std::string& wanted, const PlaceOnHost& place,
                                      Communicator* world);

}  // namespace orthant
