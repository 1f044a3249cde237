#include "train/rank_device.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "ATen/ATen.h"
#include "orthant/train/broadcast_text.h"

namespace orthant {
namespace {

// The ids of all ranks' devices, by rank.
std::vector<std::string> GatherIds(const std::string& mine, Communicator& world) {
  constexpr int64_t kWords = 8;  // "GPU-" and 36 characters, with room
  const at::Tensor own = at::zeros({kWords}, at::kLong), all = at::zeros({world.size() * kWords}, at::kLong);
  std::memcpy(own.data_ptr(), mine.data(), std::min<size_t>(mine.size(), 8 * kWords - 1));
  world.AllGather(all, own, "devices");
  std::vector<std::string> ids;
  for (int r = 0; r < world.size(); ++r) {
    ids.emplace_back(static_cast<const char*>(all.narrow(0, r * kWords, kWords).data_ptr()));
  }
  return ids;
}

}  // namespace

absl::StatusOr<RankDevice> TakeDevice(const std::string& wanted, const PlaceOnHost& place,
                                      Communicator* world) {
  RankDevice taken;
  if (wanted == "cpu") return taken;
  const CudaDevices found = FindCudaDevices();
  const absl::StatusOr<c10::Device> chosen = ChooseDevice(wanted, place, BuiltWithCuda(), found);
  const absl::Status agreed = world == nullptr ? chosen.status() : AgreeOnStatus(chosen.status(), *world);
  if (!agreed.ok()) return agreed;
  const CudaDevice* const gpu =
      chosen->is_cpu() ? nullptr : &found.visible[static_cast<size_t>(chosen->index())];
  if (world != nullptr) {
    const absl::StatusOr<bool> settled =
        SettleDevices(wanted, GatherIds(gpu == nullptr ? "" : gpu->id, *world));
    if (!settled.ok()) return settled.status();
    if (!*settled) return taken;
  }
  if (gpu == nullptr) return taken;
  taken.device = *chosen;
  taken.name = gpu->name;
  UseDevice(taken.device);
  return taken;
}

}  // namespace orthant
