// What there is to compute on beside the processor, and which device a rank takes. In every build: one
// without CUDA finds no devices and says why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "c10/core/Device.h"

namespace orthant {

// Whether this program was built for NVIDIA GPUs (preset cuda).
bool BuiltWithCuda();

struct CudaDevice {
  std::string name;          // "NVIDIA H100 80GB HBM3"
  std::string id;            // its UUID, whatever a process calls it and sees: "GPU-4f3a..."
  std::string architecture;  // "9.0"
  int64_t memory = 0;        // bytes
  std::vector<int> peers;    // the other visible devices that it reads and writes directly
};

// The devices that this process sees, in its own numbering (CUDA_VISIBLE_DEVICES is CUDA's affair).
struct CudaDevices {
  std::vector<CudaDevice> visible;
  std::string problem;          // why there are none; empty when there are
  std::string runtime, driver;  // versions, "13.0"; empty where unknown
};
// Asks the driver; makes no context on any device. Any thread.
CudaDevices FindCudaDevices();

// A rank's place among the ranks of its host.
struct PlaceOnHost {
  int rank = 0, ranks = 1;
  bool threads = false;  // ranks are threads of one process
};

// The device for train.device = `wanted` ("auto", "cpu" or "cuda"), as this rank sees it alone: the GPU of
// the rank's place, or the only one that its launcher lets it see. auto: the processor where there is none.
// EnvironmentError where cuda cannot be.
absl::StatusOr<c10::Device> ChooseDevice(const std::string& wanted, const PlaceOnHost& place,
                                         bool built_with_cuda, const CudaDevices& found);

// Whether the ranks compute on what they chose: ids[r] is that of rank r's GPU, "" on the processor. False
// under auto where not every rank has a GPU of its own: then all take the processor. EnvironmentError where
// two ranks would share a GPU under cuda.
absl::StatusOr<bool> SettleDevices(const std::string& wanted, const std::vector<std::string>& ids);

// Makes `device` the one that the calling thread computes on. Nothing for the processor.
void UseDevice(c10::Device device);

// Waits until `device` has done everything that was given to it. Nothing for the processor.
void FinishDevice(c10::Device device);

// Of LibTorch's caching allocator on a GPU; zeros on the processor.
struct DeviceMemory {
  int64_t allocated = 0, peak_allocated = 0;  // bytes in tensors
  int64_t reserved = 0;                       // bytes taken from the device, cached blocks included
};
DeviceMemory MemoryOf(c10::Device device);
// Later peaks count from now.
void ResetPeakOf(c10::Device device);
// The allocator takes no more than `bytes` of the device; beyond it, c10::OutOfMemoryError. Nothing for the
// processor.
void LimitMemory(c10::Device device, int64_t bytes);

}  // namespace orthant
