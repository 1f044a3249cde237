#include <map>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/device/device.h"

namespace orthant {
namespace {

// Why a rank at `place` cannot have a GPU of its own; "" when it can.
std::string Obstacle(const PlaceOnHost& place, bool built_with_cuda, const CudaDevices& found) {
  if (!built_with_cuda) {
    return "this orthant was built without CUDA; build preset cuda (docs/gpu.md), or set train.device = cpu";
  }
  const auto visible = static_cast<int>(found.visible.size());
  if (visible == 0) return absl::StrCat("this host has no GPU that CUDA can use: ", found.problem);
  if (place.threads && place.ranks > 1) {
    return absl::StrCat("a GPU belongs to one process, and the ", place.ranks,
                        " ranks of this run are threads of one; start a process a rank: mpirun -n ",
                        place.ranks, " orthant ..., or set train.device = cpu");
  }
  // One that a launcher picked for this rank (srun --gpus-per-task=1) is its own, whatever others see.
  if (visible == 1 || place.rank < visible) return "";
  return absl::StrCat("this host has ", visible, " visible GPUs for ", place.ranks,
                      " ranks, and each rank needs its own; start at most ", visible,
                      " ranks on it, or set train.device = cpu");
}

}  // namespace

absl::StatusOr<c10::Device> ChooseDevice(const std::string& wanted, const PlaceOnHost& place,
                                         bool built_with_cuda, const CudaDevices& found) {
  const c10::Device processor(c10::DeviceType::CPU);
  if (wanted == "cpu") return processor;
  const std::string obstacle = Obstacle(place, built_with_cuda, found);
  if (!obstacle.empty()) {
    if (wanted == "auto") return processor;
    return EnvironmentError(absl::StrCat("train.device = ", wanted, ": ", obstacle));
  }
  const int index = found.visible.size() == 1 ? 0 : place.rank;
  return c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
}

absl::StatusOr<bool> SettleDevices(const std::string& wanted, const std::vector<std::string>& ids) {
  std::map<std::string, size_t> first;
  for (size_t rank = 0; rank < ids.size(); ++rank) {
    if (ids[rank].empty()) return false;
    const auto [seen, fresh] = first.emplace(ids[rank], rank);
    if (fresh) continue;
    if (wanted == "auto") return false;
    return EnvironmentError(absl::StrCat("train.device = ", wanted, ": ranks ", seen->second, " and ", rank,
                                         " would both compute on the GPU ", ids[rank],
                                         ", and each rank needs its own; let each rank see another one (srun "
                                         "--gpus-per-task=1), or all of them, and start at most one a GPU"));
  }
  return true;
}

}  // namespace orthant
