#include "orthant/data_parallel/unit_split.h"

#include <algorithm>

namespace orthant {
namespace {

// `spec` whole, or its tiles: as many rows each as fit tile_bytes, at least one.
std::vector<ParameterSpec> TilesOf(const ParameterSpec& spec, const UnitSplit& split) {
  const int64_t elements = spec.LocalElements();
  if (!spec.linear || split.tile_bytes == 0 || elements * split.element_size <= split.tile_bytes)
    return {spec};
  const int64_t width = spec.LocalShape().back(), rows = elements / width;
  const int64_t together = std::max<int64_t>(1, split.tile_bytes / (width * split.element_size));
  std::vector<ParameterSpec> tiles;
  for (int64_t begin = 0; begin < rows; begin += together) {
    tiles.push_back(spec);
    tiles.back().row_begin = begin;
    tiles.back().rows = std::min(together, rows - begin);
  }
  return tiles;
}

}  // namespace

std::vector<std::vector<ParameterSpec>> SplitIntoUnits(const std::vector<ParameterSpec>& specs,
                                                       const UnitSplit& split) {
  std::vector<std::vector<ParameterSpec>> units;
  std::vector<ParameterSpec> together;  // not tiled
  int64_t bytes = 0;
  const auto close = [&] {
    if (!together.empty()) units.push_back(std::move(together));
    together.clear();
    bytes = 0;
  };
  for (const ParameterSpec& spec : specs) {
    std::vector<ParameterSpec> tiles = TilesOf(spec, split);
    if (tiles.front().rows >= 0) {
      for (ParameterSpec& tile : tiles) units.push_back({std::move(tile)});
      continue;
    }
    const int64_t more = spec.LocalElements() * split.element_size;
    if (split.bucket_bytes > 0 && bytes + more > split.bucket_bytes) close();
    bytes += more;
    together.push_back(spec);
  }
  close();
  return units;
}

}  // namespace orthant
