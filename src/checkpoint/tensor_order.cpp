#include "checkpoint/tensor_order.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace orthant {
namespace {

// As data flows: embeddings; in each layer norm, attention, norm, MLP; the last norm and the head. A bias
// comes behind its weight.
constexpr std::array<const char*, 4> kInLayer = {"ln_1.", "attn.", "ln_2.", "mlp."};
constexpr std::array<const char*, 4> kOutside = {"wte.", "wpe.", "h.", "lm_head."};

template <size_t kCount>
int RankIn(const std::array<const char*, kCount>& prefixes, const std::string& name) {
  for (size_t i = 0; i < kCount; ++i) {
    if (absl::StartsWith(name, prefixes[i])) return static_cast<int>(i);
  }
  return -1;
}

using Place = std::tuple<int, int64_t, int, std::string, bool, std::string>;

Place PlaceOf(const std::string& name) {
  const LayerName layer = LayerOf(name);
  const bool bias = absl::EndsWith(name, ".bias");
  const std::string stem = layer.rest.substr(0, layer.rest.rfind('.'));
  if (layer.layer >= 0) return {2, layer.layer, RankIn(kInLayer, layer.rest), stem, bias, layer.rest};
  const int place = RankIn(kOutside, name);
  // Others, as ln_f, stand between the layers and the head.
  return {place == 3 ? 4 : place < 0 ? 3 : place, 0, 0, stem, bias, name};
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
            [](const std::string& a, const std::string& b) { return PlaceOf(a) < PlaceOf(b); });
  return order;
}

}  // namespace orthant
