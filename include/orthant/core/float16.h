// 16-bit floating point, bf16 and IEEE half, to fp32 and back, by the block: loops that use vector registers,
// where a conversion at a time does not. Free of LibTorch: an element is its 16 bits.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__F16C__) && defined(__AVX__)
#include <immintrin.h>
#endif

namespace orthant {

// `to` [count] = `from` [count]; exact.
inline void WidenBFloat16(const uint16_t* __restrict from, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}

// Rounds to nearest, ties to even; a NaN stays one, what is too large becomes infinite.
inline void NarrowBFloat16(const float* __restrict from, uint16_t* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(from[i]);
    const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    to[i] = static_cast<uint16_t>(nan ? 0x7FC0u : rounded);
  }
}

// One half, without the processor's help: for machines that have none. Subnormals are scaled up by a product.
inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, rest = half & 0x7FFFu;
  if (rest >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

// Rounds to nearest, ties to even, as the processor's instruction does.
inline uint16_t FloatToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t rest = bits & 0x7FFFFFFFu;
  if (rest > 0x7F800000u) return sign | 0x7E00u | static_cast<uint16_t>((rest >> 13) & 0x3FFu);  // NaN
  if (rest >= 0x47800000u) return sign | 0x7C00u;  // 2^16 and above
  if (rest < 0x38800000u) {  // below 2^-14: the sum's last bit is worth 2^-24, a subnormal's unit
    const float sum = std::bit_cast<float>(rest) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(sum) - 0x3F000000u);
  }
  const uint32_t rounded = rest + 0xFFFu + ((rest >> 13) & 1u);
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

inline void WidenHalf(const uint16_t* __restrict from, float* __restrict to, int64_t count) {
  int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
#endif
  for (; i < count; ++i) to[i] = HalfToFloat(from[i]);
}

inline void NarrowHalf(const float* __restrict from, uint16_t* __restrict to, int64_t count) {
  int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= count; i += 8) {
    const __m128i words =
        _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), words);
  }
#endif
  for (; i < count; ++i) to[i] = FloatToHalf(from[i]);
}

}  // namespace orthant
