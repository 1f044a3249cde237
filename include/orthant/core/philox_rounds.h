// Philox4x32-10 (philox.h) as constant expressions: one definition for the processor's vectors and for GPU
// kernels, which may call them (nvcc, --expt-relaxed-constexpr).
#pragma once

#include <cstdint>

namespace orthant {

// The ten rounds, in place: counter words c0 to c3, key words k0 and k1.
constexpr void PhiloxRounds(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, uint32_t k0,
                            uint32_t k1) {
  constexpr uint32_t kMultiply0 = 0xD2511F53u, kMultiply1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{kMultiply0} * c0;
    const uint64_t p1 = uint64_t{kMultiply1} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
}

// As Bits({key}, hi, index) of philox.h.
constexpr uint32_t PhiloxBits(uint64_t key, uint64_t hi, uint64_t index) {
  const uint64_t block = index / 4;
  uint32_t c[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                   static_cast<uint32_t>(hi), static_cast<uint32_t>(hi >> 32)};
  PhiloxRounds(c[0], c[1], c[2], c[3], static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
  return c[index % 4];
}

}  // namespace orthant
