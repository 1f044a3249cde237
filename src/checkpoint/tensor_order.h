// The order in which people read a model's tensors: embeddings, layers by number, the rest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/checkpoint/manifest.h"

namespace orthant {

// The layer that a logical name belongs to, with what follows it: "h.3.ln_1.weight" -> 3, "ln_1.weight"; -1
// and the name itself where there is none.
struct LayerName {
  int64_t layer = -1;
  std::string rest;
};
LayerName LayerOf(const std::string& name);

// Every logical name once, in that order.
std::vector<std::string> TensorNames(const CheckpointManifest& manifest);

}  // namespace orthant
