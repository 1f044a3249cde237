// What only CUDA's own headers can tell; elsewhere devices are LibTorch's generic ones. Only in builds with
// CUDA.
#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/device/device.h"

namespace orthant {
namespace {

std::string Version(int number) {
  return number == 0 ? "" : absl::StrCat(number / 1000, ".", number % 1000 / 10);
}

// "GPU-8a7bc5f4-...", as nvidia-smi has it.
std::string IdOf(const cudaUUID_t& uuid) {
  std::string id = "GPU";
  for (int i = 0; i < 16; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) id += "-";
    absl::StrAppendFormat(&id, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return id;
}

// Needs no context on any device.
std::vector<int> PeersOf(int device, int count) {
  std::vector<int> peers;
  for (int other = 0; other < count; ++other) {
    int can = 0;
    if (other != device && cudaDeviceCanAccessPeer(&can, device, other) == cudaSuccess && can != 0)
      peers.push_back(other);
  }
  return peers;
}

// Where LibTorch would give up exactness or repeatability for speed, for the whole process: sums of 16-bit
// products in 16 bits, and kernels that add in whatever order comes. A run that resumes shall give the same
// bits.
void ComputeExactly() {
  // Read when cuBLAS and the device start; what the user has set stays.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", /*overwrite=*/0);  // streams of NCCL beside the computing one
  at::Context& context = at::globalContext();
  context.setAllowFP16ReductionCuBLAS(false);
  context.setAllowBF16ReductionCuBLAS(false);
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);
}

}  // namespace

bool BuiltWithCuda() {
  return true;
}

CudaDevices FindCudaDevices() {
  CudaDevices found;
  int runtime = 0, driver = 0, count = 0;
  if (cudaRuntimeGetVersion(&runtime) == cudaSuccess) found.runtime = Version(runtime);
  if (cudaDriverGetVersion(&driver) == cudaSuccess) found.driver = Version(driver);
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();  // it is told here; later calls shall not meet it
    found.problem = absl::StrCat(cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
    return found;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    if (const cudaError_t failed = cudaGetDeviceProperties(&properties, i); failed != cudaSuccess) {
      (void)cudaGetLastError();
      found.visible.clear();
      found.problem = absl::StrCat("device ", i, ": ", cudaGetErrorString(failed));
      return found;
    }
    found.visible.push_back({properties.name, IdOf(properties.uuid),
                             absl::StrCat(properties.major, ".", properties.minor),
                             static_cast<int64_t>(properties.totalGlobalMem), PeersOf(i, count)});
  }
  if (count == 0) found.problem = "none is visible (CUDA_VISIBLE_DEVICES)";
  return found;
}

void UseDevice(c10::Device device) {
  if (!device.is_cuda()) return;
  ComputeExactly();
  at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
  c10::cuda::set_device(device.index());
}

void FinishDevice(c10::Device device) {
  if (!device.is_cuda()) return;
  c10::cuda::set_device(device.index());
  c10::cuda::device_synchronize();
}

DeviceMemory MemoryOf(c10::Device device) {
  using c10::CachingAllocator::StatType;
  DeviceMemory memory;
  if (!device.is_cuda()) return memory;
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
  const auto& allocated = stats.allocated_bytes[static_cast<size_t>(StatType::AGGREGATE)];
  memory.allocated = allocated.current;
  memory.peak_allocated = allocated.peak;
  memory.reserved = stats.reserved_bytes[static_cast<size_t>(StatType::AGGREGATE)].current;
  return memory;
}

void ResetPeakOf(c10::Device device) {
  if (device.is_cuda()) c10::cuda::CUDACachingAllocator::resetPeakStats(device.index());
}

void LimitMemory(c10::Device device, int64_t bytes) {
  if (!device.is_cuda() || bytes <= 0) return;
  size_t free = 0, total = 0;
  c10::cuda::set_device(device.index());
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const double fraction = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total));
  c10::cuda::CUDACachingAllocator::setMemoryFraction(fraction, device.index());
}

}  // namespace orthant
