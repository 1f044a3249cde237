// Tensors of a known number of bytes, and shorter names, for the tests of the memory room.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>

#include "orthant/memory/account.h"

namespace orthant::testing {

inline constexpr int64_t kKiB = 1024, kMiB = 1024 * kKiB;

// A tensor that holds exactly so many bytes; not written.
inline at::Tensor Hold(int64_t bytes) {
  return at::empty({bytes}, at::kByte);
}

inline int64_t Now(const MemoryAccount& account, MemoryTag tag) {
  return account.current()[static_cast<size_t>(tag)];
}
inline int64_t Now(const MemoryAccount& account) {
  return DeviceBytes(account.current());
}
inline int64_t Of(const MemoryPeak& peak, MemoryTag tag) {
  return peak.tags[static_cast<size_t>(tag)];
}

}  // namespace orthant::testing
