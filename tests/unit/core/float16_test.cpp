// Conversions of 16-bit floating point, against arithmetic in double precision.
#include "orthant/core/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace orthant {
namespace {

// The value of 16 bits with `exponent_bits` of exponent and the rest of mantissa, by the definition.
double ValueOf(uint16_t word, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (word & 0x7FFF) >> mantissa_bits, mantissa = word & ((1 << mantissa_bits) - 1);
  const double sign = (word & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) return mantissa != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

std::vector<uint16_t> AllWords() {
  std::vector<uint16_t> words(65536);
  for (int i = 0; i < 65536; ++i) words[i] = static_cast<uint16_t>(i);
  return words;
}

using Widen = void (*)(const uint16_t*, float*, int64_t);
using Narrow = void (*)(const float*, uint16_t*, int64_t);

void ExpectEveryWordThereAndBack(Widen widen, Narrow narrow, int exponent_bits) {
  const std::vector<uint16_t> words = AllWords();
  std::vector<float> floats(words.size());
  std::vector<uint16_t> back(words.size());
  widen(words.data(), floats.data(), 65536);
  narrow(floats.data(), back.data(), 65536);
  for (size_t i = 0; i < words.size(); ++i) {
    const double expected = ValueOf(words[i], exponent_bits);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(floats[i]) && std::isnan(ValueOf(back[i], exponent_bits))) << i;
    } else {
      ASSERT_EQ(floats[i], expected) << i;
      ASSERT_EQ(back[i], words[i]) << i;
    }
  }
}

// Between neighbours a and b: the middle goes to the even one, what is off the middle to the nearer.
void ExpectNearestEven(Narrow narrow, int exponent_bits) {
  const auto narrowed = [&](double value) {
    const auto single = static_cast<float>(value);
    EXPECT_EQ(single, value) << "the test's own number is no fp32";
    uint16_t word = 0;
    narrow(&single, &word, 1);
    return word;
  };
  const int infinite = ((1 << exponent_bits) - 1) << (15 - exponent_bits);
  for (int word = 0; word + 1 < infinite; word += 7) {
    const double a = ValueOf(static_cast<uint16_t>(word), exponent_bits);
    const double b = ValueOf(static_cast<uint16_t>(word + 1), exponent_bits);
    const int even = word % 2 == 0 ? word : word + 1;
    ASSERT_EQ(narrowed((a + b) / 2), even) << word;
    ASSERT_EQ(narrowed(-(a + b) / 2), even | 0x8000) << word;
    ASSERT_EQ(narrowed(a + (b - a) / 4), word) << word;
    ASSERT_EQ(narrowed(b - (b - a) / 4), word + 1) << word;
  }
}

TEST(BFloat16, EveryWordThereAndBack) {
  ExpectEveryWordThereAndBack(WidenBFloat16, NarrowBFloat16, 8);
}
TEST(BFloat16, RoundsToNearestEven) {
  ExpectNearestEven(NarrowBFloat16, 8);
}
TEST(Half, EveryWordThereAndBack) {
  ExpectEveryWordThereAndBack(WidenHalf, NarrowHalf, 5);
}
TEST(Half, RoundsToNearestEven) {
  ExpectNearestEven(NarrowHalf, 5);
}

// Blocks of 8 may take the processor's instruction; one element never does.
TEST(Half, ABlockIsWhatSingleConversionsAre) {
  std::vector<float> values;
  for (uint32_t bits = 0x30000000u; bits < 0x48000000u; bits += 4093) {
    values.push_back(std::bit_cast<float>(bits));
    values.push_back(-std::bit_cast<float>(bits));
  }
  std::vector<uint16_t> block(values.size());
  NarrowHalf(values.data(), block.data(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(block[i], FloatToHalf(values[i])) << values[i];
}

TEST(Half, WhatIsTooLargeIsInfinite) {
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7BFF);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7C00);
  EXPECT_EQ(FloatToHalf(-1e30f), 0xFC00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::infinity()), 0x7C00);
}

}  // namespace
}  // namespace orthant
