// The `memory` section: how much a rank may hold, and what is computed again instead of kept.
#pragma once

#include <cstdint>
#include <string>

#include "orthant/config/fields.h"

namespace orthant {

struct MemoryConfig {
  int64_t limit = 0;               // bytes of device memory a rank; 0: none
  std::string recompute = "none";  // none | selective (attention) | full (whole blocks)
  int64_t recompute_every = 1;     // every n-th block, from the first; 1: all
};

void Describe(Fields& fields, MemoryConfig& config);

}  // namespace orthant
