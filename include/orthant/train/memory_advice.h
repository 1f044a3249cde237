// What to set when a run does not fit: single changes with the bytes each saves at the peak, by estimate; and
// the limits that cannot work, told before the start.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "orthant/train/memory_estimate.h"
#include "orthant/train/validate.h"

namespace orthant {

// One change, on the same ranks.
struct MemoryAdvice {
  std::vector<std::pair<std::string, std::string>>
      settings;       // key, value; more than one where a key needs another
  int64_t saves = 0;  // bytes at the peak of the worst rank
  int64_t peak = 0;   // what is left there
  std::string note;   // what else it does, where it changes numbers

  // "parallel.zero=3", as on the command line.
  std::string Overrides() const;
};

// The `count` legal changes that save most, the largest first; none that saves nothing. Changes of precision
// come last. Files (nvme) save the device no more than host memory does and are not proposed. Pure; `vocab`
// is resolved.
std::vector<MemoryAdvice> AdviseMemory(const RunConfig& config, int64_t vocab, size_t count = 3);

// The advice for people, a line a change, and whether it fits below memory.limit; what fits together where
// none does alone.
std::string AdviceText(const RunConfig& config, int64_t vocab);

// The end of a run that met memory.limit: the account as `error` tells it, and the advice. EnvironmentError.
absl::Status OutOfMemoryStatus(const OutOfMemory& error, const RunConfig& config, int64_t vocab);

// ConfigurationError when memory.limit cannot hold even what stays between steps and the largest unit whole,
// or zero.tile_bytes not one row of a linear: the arithmetic, the nearest legal value, what would help.
absl::Status CheckMemoryLimit(const RunConfig& config, int64_t vocab, const OriginOf& origin);

}  // namespace orthant
