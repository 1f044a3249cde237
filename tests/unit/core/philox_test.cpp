#include "orthant/core/philox.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace orthant::testing {
namespace {

using Counter = std::array<uint32_t, 4>;

TEST(Philox, KnownAnswersOfRandom123) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, BulkBitsHaveTheStatedLayout) {
  const PhiloxKey key{0x299f31d0a4093822u};
  const uint64_t hi = 0x0370734413198a2eu, block = 0x85a308d3243f6a88u;
  std::vector<uint32_t> bits(8);
  // The index is 4 x block + lane; a block number this large is out of reach, so only its low bits are used.
  const uint64_t first = 4 * (block >> 2);
  FillBits(key, hi, first, bits);
  for (uint64_t b = 0; b < 2; ++b) {
    const uint64_t number = (block >> 2) + b;
    const Counter words = Philox4x32(
        {static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32), 0x13198a2e, 0x03707344},
        {0xa4093822, 0x299f31d0});
    for (size_t lane = 0; lane < 4; ++lane) EXPECT_EQ(bits[4 * b + lane], words[lane]);
  }
}

// Fixed for ever: initial weights and dropout masks of stored runs hang on them.
TEST(Philox, DerivedKeysAndNormalsAreFixed) {
  EXPECT_EQ(DeriveKey(1337, "blocks.0.attn.weight").value, 0x367c2e963cb72823u);
  EXPECT_EQ(DeriveKey(1337, {1, 2, 3}).value, 0x69f21d63251a7829u);
  EXPECT_EQ(Normal(PhiloxKey{42}, 0, 0), -0x1.f0bcb754e0817p-1);
  EXPECT_EQ(Normal(PhiloxKey{42}, 7, 1000001), -0x1.7f10c025f5e4cp+0);
}

TEST(Philox, KeysDifferInEveryArgument) {
  std::set<uint64_t> keys;
  int made = 0;
  const auto add = [&](PhiloxKey key) { keys.insert(key.value), ++made; };
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const char* name : {"", "a", "b", "ab", "ba", "abcdefgh", "abcdefgha", "layer.1", "layer.10"}) {
      add(DeriveKey(seed, name));
    }
    add(DeriveKey(seed, std::string_view("a\0", 2)));
    add(DeriveKey(seed, {}));
    for (uint64_t i = 0; i < 20; ++i) {
      add(DeriveKey(seed, {i}));
      add(DeriveKey(seed, {i, 0}));
      add(DeriveKey(seed, {0, i + 1}));
    }
  }
  EXPECT_EQ(static_cast<int>(keys.size()), made);
  EXPECT_EQ(DeriveKey(PhiloxKey{5}, {1}), DeriveKey(5, {1}));
}

// Every range of indices gives what the whole gives, whatever it is aligned to.
template <class T, class Fill, class One>
void ExpectSlicesAgree(Fill fill, One one) {
  const PhiloxKey key = DeriveKey(1, "slices");
  constexpr size_t kWhole = 1500;
  constexpr uint64_t kBase = (uint64_t{1} << 35) - 700;  // the block number crosses 2^33 and 2^32 elsewhere
  std::vector<T> whole(kWhole);
  fill(key, 9, kBase, std::span<T>(whole));
  for (size_t i = 0; i < kWhole; i += 37) EXPECT_EQ(whole[i], static_cast<T>(one(key, 9, kBase + i)));
  for (const size_t first : {0, 1, 2, 3, 4, 5, 255, 256, 257, 511, 700, 1001}) {
    for (const size_t size : {0, 1, 2, 3, 4, 5, 7, 63, 64, 255, 256, 257, 499}) {
      std::vector<T> slice(size);
      fill(key, 9, kBase + first, std::span<T>(slice));
      EXPECT_TRUE(std::equal(slice.begin(), slice.end(), whole.begin() + static_cast<int64_t>(first)))
          << first << " + " << size;
    }
  }
}

TEST(Philox, SlicesOfBitsAgree) {
  ExpectSlicesAgree<uint32_t>([](auto... a) { FillBits(a...); }, Bits);
}
TEST(Philox, SlicesOfUniformsAgree) {
  ExpectSlicesAgree<float>([](auto... a) { FillUniform(a...); }, Uniform);
  ExpectSlicesAgree<double>([](auto... a) { FillUniform(a...); }, Uniform);
}
TEST(Philox, SlicesOfNormalsAgree) {
  ExpectSlicesAgree<float>([](auto... a) { FillNormal(a...); }, Normal);
  ExpectSlicesAgree<double>([](auto... a) { FillNormal(a...); }, Normal);
}

TEST(Philox, FloatAndDoubleFormsAreTheSameNumbers) {
  const PhiloxKey key = DeriveKey(2, "forms");
  std::vector<float> f(4099);
  std::vector<double> d(4099);
  FillUniform(key, 1, 5, std::span<float>(f));
  FillUniform(key, 1, 5, std::span<double>(d));
  for (size_t i = 0; i < f.size(); ++i) ASSERT_EQ(static_cast<double>(f[i]), d[i]);
  EXPECT_GE(*std::min_element(d.begin(), d.end()), 0.0);
  EXPECT_LT(*std::max_element(f.begin(), f.end()), 1.0f);
  FillNormal(key, 1, 5, std::span<float>(f));
  FillNormal(key, 1, 5, std::span<double>(d));
  for (size_t i = 0; i < f.size(); ++i) ASSERT_EQ(f[i], static_cast<float>(d[i]));
}

TEST(Philox, NormalsFollowTheFormulaOfBoxAndMuller) {
  const PhiloxKey key = DeriveKey(3, "formula");
  constexpr size_t kCount = 100000;
  std::vector<uint32_t> bits(kCount);
  std::vector<double> normals(kCount);
  FillBits(key, 0, 0, bits);
  FillNormal(key, 0, 0, std::span<double>(normals));
  for (size_t i = 0; i < kCount; i += 2) {
    const double radius = std::sqrt(-2.0 * std::log((bits[i] + 0.5) * 0x1p-32));
    const double angle = 2.0 * M_PI * (bits[i + 1] * 0x1p-32);
    ASSERT_NEAR(normals[i], radius * std::cos(angle), 1e-14);
    ASSERT_NEAR(normals[i + 1], radius * std::sin(angle), 1e-14);
  }
}

TEST(Philox, MomentsOfUniforms) {
  constexpr size_t kCount = 4000000;
  std::vector<double> u(kCount);
  FillUniform(DeriveKey(4, "moments"), 0, 0, std::span<double>(u));
  double sum = 0, squares = 0;
  for (const double x : u) sum += x, squares += x * x;
  // Five standard errors: sqrt(1/12/n) = 1.4e-4.
  EXPECT_NEAR(sum / kCount, 0.5, 7.5e-4);
  EXPECT_NEAR(squares / kCount, 1.0 / 3.0, 7.5e-4);
}

TEST(Philox, MomentsOfNormalsAndTheirIndependence) {
  constexpr size_t kCount = 4000000;
  std::vector<double> z(kCount);
  FillNormal(DeriveKey(5, "moments"), 0, 0, std::span<double>(z));
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, next = 0, within = 0, tail = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const double x = z[i];
    m1 += x, m2 += x * x, m3 += x * x * x, m4 += x * x * x * x;
    next += i + 1 < kCount ? x * z[i + 1] : 0;
    within += i % 2 == 0 ? x * x * z[i + 1] * z[i + 1] : 0;
    tail += std::abs(x) > 3 ? 1 : 0;
  }
  const double n = kCount, error = 1 / std::sqrt(n);
  EXPECT_NEAR(m1 / n, 0, 5 * error);
  EXPECT_NEAR(m2 / n, 1, 5 * std::sqrt(2.0) * error);
  EXPECT_NEAR(m3 / n, 0, 5 * std::sqrt(15.0) * error);
  EXPECT_NEAR(m4 / n, 3, 5 * std::sqrt(96.0) * error);
  EXPECT_NEAR(next / n, 0, 5 * error);
  EXPECT_NEAR(within / (n / 2), 1, 5 * std::sqrt(8.0) * error * std::sqrt(2.0));
  EXPECT_NEAR(tail / n, 0.0026998, 5 * std::sqrt(0.0027) * error);
}

TEST(Philox, ThresholdsDecideWithTheirProbability) {
  EXPECT_EQ(BernoulliThreshold(0.0), 0u);
  EXPECT_EQ(BernoulliThreshold(1.0), uint64_t{1} << 32);
  EXPECT_EQ(BernoulliThreshold(0.25), uint64_t{1} << 30);
  EXPECT_EQ(BernoulliThreshold(-1.0), 0u);
  EXPECT_EQ(BernoulliThreshold(2.0), uint64_t{1} << 32);
  std::vector<uint32_t> bits(1000000);
  FillBits(DeriveKey(6, "drop"), 0, 0, bits);
  const auto dropped =
      std::count_if(bits.begin(), bits.end(), [](uint32_t b) { return b < BernoulliThreshold(0.1); });
  EXPECT_NEAR(static_cast<double>(dropped) / 1e6, 0.1, 5 * 0.3 * 1e-3);
}

}  // namespace
}  // namespace orthant::testing
