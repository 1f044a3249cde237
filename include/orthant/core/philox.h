// Counter-based random numbers: number i of a stream is a pure function of (key, hi, i), so any rank can draw
// any part of a tensor, in any order, and all agree. Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel
// Random Numbers: As Easy as 1, 2, 3", SC 2011, section 3.3.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

namespace orthant {

// Names a stream. `hi` in the calls below splits it further, into 2^64 streams (a step, a sample, a
// layer...).
struct PhiloxKey {
  uint64_t value = 0;
  friend bool operator==(const PhiloxKey&, const PhiloxKey&) = default;
};

// The bare function, words in the order of the paper (and of Random123).
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A key from a seed and a name or numbers. Different arguments give unrelated keys.
PhiloxKey DeriveKey(uint64_t seed, std::string_view name);
PhiloxKey DeriveKey(uint64_t seed, std::initializer_list<uint64_t> words);
inline PhiloxKey DeriveKey(PhiloxKey parent, std::initializer_list<uint64_t> words) {
  return DeriveKey(parent.value, words);
}

// Element `index` is lane index % 4 of counter block (index / 4, hi). The bulk forms give, for element
// first_index + j, the same as the single ones, on every machine, to the last bit.
uint32_t Bits(PhiloxKey key, uint64_t hi, uint64_t index);
void FillBits(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<uint32_t> out);

// In [0, 1): the upper 24 bits, so that the float and the double form hold the same numbers.
double Uniform(PhiloxKey key, uint64_t hi, uint64_t index);
void FillUniform(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<float> out);
void FillUniform(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<double> out);

// For decisions (dropout): Bits(...) < BernoulliThreshold(p) happens with probability p (to 2^-32), and the
// decision does not depend on the dtype that surrounds it: a probability rounded to float would decide
// otherwise now and then. Held in 64 bits because p = 1 is 2^32.
inline uint64_t BernoulliThreshold(double probability) {
  return static_cast<uint64_t>(std::llround(std::fmin(std::fmax(probability, 0.0), 1.0) * 4294967296.0));
}

// Standard normal, by Box and Muller in double precision: lanes (0, 1) and (2, 3) of a block make one pair
// each. |value| < 6.8. The float form is the double form rounded.
double Normal(PhiloxKey key, uint64_t hi, uint64_t index);
void FillNormal(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<float> out);
void FillNormal(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<double> out);

}  // namespace orthant
