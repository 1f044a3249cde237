#include "checkpoint/tensor_order.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace orthant {
namespace {

std::tuple<int, int64_t, std::string> Place(const std::string& name) {
  const LayerName layer = LayerOf(name);
  if (layer.layer >= 0) return {2, layer.layer, layer.rest};
  if (absl::StartsWith(name, "wte.")) return {0, 0, name};
  if (absl::StartsWith(name, "wpe.")) return {1, 0, name};
  return {3, absl::StartsWith(name, "lm_head.") ? 1 : 0, name};
}

}  // namespace

LayerName LayerOf(const std::string& name) {
  int64_t layer = 0;
  const size_t dot = name.find('.', 2);
  if (!absl::StartsWith(name, "h.") || dot == std::string::npos ||
      !absl::SimpleAtoi(name.substr(2, dot - 2), &layer) || layer < 0) {
    return {-1, name};
  }
  return {layer, name.substr(dot + 1)};
}

std::vector<std::string> TensorNames(const CheckpointManifest& manifest) {
  std::set<std::string> names;
  for (const auto& [key, tensor] : manifest.tensors) names.insert(key.first);
  std::vector<std::string> order(names.begin(), names.end());
  std::sort(order.begin(), order.end(),
            [](const std::string& a, const std::string& b) { return Place(a) < Place(b); });
  return order;
}

}  // namespace orthant
