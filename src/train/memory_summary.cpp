#include "orthant/train/memory_summary.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"
#include "orthant/device/device.h"

namespace orthant {

TagBytes BytesOn(c10::Device device, const MemoryAccount& account) {
  const TagBytes counted = account.current();
  if (device.is_cpu()) return counted;
  TagBytes bytes{};
  for (const int64_t of_tag : counted) bytes[static_cast<size_t>(MemoryTag::kHost)] += of_tag;
  return bytes;
}

MemoryPeak PeakOn(c10::Device device, const MemoryAccount& account) {
  const MemoryPeak counted = account.peak();
  if (device.is_cpu()) return counted;
  MemoryPeak peak;
  peak.device_bytes = MemoryOf(device).peak_allocated;
  peak.host_bytes = counted.device_bytes + counted.host_bytes;
  return peak;
}

std::vector<MemoryPeak> GatherPeaks(Communicator& world, c10::Device device) {
  constexpr int kNumbers = kMemoryTags + 2;
  at::Tensor mine = at::zeros({kNumbers}, at::kLong), all = at::zeros({world.size(), kNumbers}, at::kLong);
  if (const std::shared_ptr<MemoryAccount> account = BoundMemory()) {
    const MemoryPeak peak = PeakOn(device, *account);
    int64_t* numbers = mine.data_ptr<int64_t>();
    std::copy(peak.tags.begin(), peak.tags.end(), numbers);
    numbers[kMemoryTags] = peak.device_bytes;
    numbers[kMemoryTags + 1] = peak.host_bytes;
  }
  world.AllGather(all.view({-1}), mine, "memory.peaks");
  std::vector<MemoryPeak> peaks(world.size());
  for (int r = 0; r < world.size(); ++r) {
    const int64_t* numbers = all.data_ptr<int64_t>() + int64_t{r} * kNumbers;
    std::copy(numbers, numbers + kMemoryTags, peaks[r].tags.begin());
    peaks[r].device_bytes = numbers[kMemoryTags];
    peaks[r].host_bytes = numbers[kMemoryTags + 1];
  }
  return peaks;
}

std::string PeakTable(const std::vector<MemoryPeak>& peaks, const Mesh& mesh, bool boxes) {
  std::vector<std::string> header = {"stage", "rank", "peak"};
  for (int t = 0; t < kMemoryTags; ++t) header.emplace_back(MemoryTagName(static_cast<MemoryTag>(t)));
  Table table(header);
  for (int64_t stage = 0; stage < mesh.degrees().pipeline; ++stage) {
    int64_t worst = -1;
    for (int64_t r = 0; r < static_cast<int64_t>(peaks.size()); ++r) {
      if (mesh.CoordinateOf(r).pipeline != stage) continue;
      if (worst < 0 || peaks[r].device_bytes > peaks[worst].device_bytes) worst = r;
    }
    const MemoryPeak& peak = peaks[worst];
    std::vector<std::string> row = {absl::StrCat(stage), absl::StrCat(worst),
                                    FormatBinaryBytes(static_cast<double>(peak.device_bytes))};
    const bool by_tag = DeviceBytes(peak.tags) > 0;
    for (int t = 0; t < kMemoryTags; ++t) {
      const bool host = static_cast<MemoryTag>(t) == MemoryTag::kHost;
      if (!host && !by_tag) {
        row.emplace_back("-");
        continue;
      }
      row.push_back(FormatBinaryBytes(static_cast<double>(host ? peak.host_bytes : peak.tags[t])));
    }
    table.AddRow(row);
  }
  return table.ToString(boxes ? TableStyle::kBoxes : TableStyle::kPlain);
}

}  // namespace orthant
