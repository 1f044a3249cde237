// Compiled with -ffp-contract=off -fno-math-errno: every sum and product is rounded by itself and the square
// root is the processor's, so that the normals have the same bits whatever the vector width, whatever the
// machine.
#include "orthant/core/philox.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "orthant/core/philox_rounds.h"

namespace orthant {
namespace {

// Blocks made at a time: the loops below have constant lengths, and the compiler turns them into vectors.
constexpr int kBlocks = 64;

// Words of kBlocks counter blocks, one array a lane.
struct Words {
  alignas(64) uint32_t lane[4][kBlocks];
};

void MakeWords(PhiloxKey key, uint64_t hi, uint64_t first_block, Words* words) {
  uint32_t* __restrict x0 = words->lane[0];
  uint32_t* __restrict x1 = words->lane[1];
  uint32_t* __restrict x2 = words->lane[2];
  uint32_t* __restrict x3 = words->lane[3];
  for (int i = 0; i < kBlocks; ++i) {
    const uint64_t block = first_block + static_cast<uint64_t>(i);
    uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
    uint32_t c2 = static_cast<uint32_t>(hi), c3 = static_cast<uint32_t>(hi >> 32);
    const uint32_t k0 = static_cast<uint32_t>(key.value), k1 = static_cast<uint32_t>(key.value >> 32);
    PhiloxRounds(c0, c1, c2, c3, k0, k1);
    x0[i] = c0, x1[i] = c1, x2[i] = c2, x3[i] = c3;
  }
}

// An unsigned integer below 2^52 as a double, by its bits: AVX2 has no instruction for the conversion.
inline double ExactDouble(uint64_t value) {
  return std::bit_cast<double>(value | 0x4330000000000000u) - 0x1p52;
}

// -2 ln((word + 1/2) / 2^32), within an ulp or so; the method and coefficients of fdlibm's e_log.c.
inline double MinusTwoLog(uint32_t word) {
  const double v = ExactDouble(2 * uint64_t{word} + 1);  // exact; ln of it, less 33 ln 2
  // v = 2^k m with m in [sqrt(1/2), sqrt(2)): adding to the bits carries into the exponent where m is large.
  const uint64_t shifted = std::bit_cast<uint64_t>(v) + 0x0009'5F61'9980'C433u;
  const double k = ExactDouble(shifted >> 52) - (1023.0 + 33.0);
  const double m = std::bit_cast<double>((shifted & 0x000F'FFFF'FFFF'FFFFu) + 0x3FE6'A09E'667F'3BCDu);
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double w = z * z;
  const double odd =
      w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const double even =
      z * (6.666666666666735130e-01 +
           w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  const double half_square = 0.5 * f * f;
  const double low = s * (half_square + (odd + even)) + k * 1.90821492927058770002e-10;
  return -2.0 * (k * 6.93147180369123816490e-01 - ((half_square - low) - f));
}

// cos and sin of 2 pi word / 2^32. The quadrant is found in integers, so the reduced angle is exact before
// its one rounding; polynomials of fdlibm's k_sin.c and k_cos.c on [-pi/4, pi/4].
inline void CosSin(uint32_t word, double* cosine, double* sine) {
  const uint32_t quadrant = (word + 0x20000000u) >> 30;
  const uint32_t offset = (word + 0x20000000u) & 0x3FFFFFFFu;  // angle + pi/4, in units of 2 pi / 2^32
  const double x = (ExactDouble(offset) - 536870912.0) * 1.46291807926715968105e-09;
  const double z = x * x;
  const double s =
      x + x * z *
              (-1.66666666666666324348e-01 +
               z * (8.33333333332248946124e-03 +
                    z * (-1.98412698298579493134e-04 +
                         z * (2.75573137070700676789e-06 +
                              z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  const double c = 1.0 - 0.5 * z +
                   z * z *
                       (4.16666666666666019037e-02 +
                        z * (-1.38888888888741095749e-03 +
                             z * (2.48015872894767294178e-05 +
                                  z * (-2.75573143513906633035e-07 +
                                       z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  // Masks instead of branches: odd quadrants swap, the sign bits come from the quadrant.
  const uint64_t swap = uint64_t{0} - (quadrant & 1u);
  const uint64_t s_bits = std::bit_cast<uint64_t>(s), c_bits = std::bit_cast<uint64_t>(c);
  const uint64_t sine_sign = uint64_t{quadrant & 2u} << 62;
  const uint64_t cosine_sign = uint64_t{(quadrant ^ (quadrant << 1)) & 2u} << 62;
  *sine = std::bit_cast<double>(((s_bits & ~swap) | (c_bits & swap)) ^ sine_sign);
  *cosine = std::bit_cast<double>(((c_bits & ~swap) | (s_bits & swap)) ^ cosine_sign);
}

// The two normals of each pair of words.
void BoxMuller(const uint32_t* __restrict radius_words, const uint32_t* __restrict angle_words,
               double* __restrict first, double* __restrict second) {
  for (int i = 0; i < kBlocks; ++i) {
    const double radius = std::sqrt(MinusTwoLog(radius_words[i]));
    double cosine, sine;
    CosSin(angle_words[i], &cosine, &sine);
    first[i] = radius * cosine;
    second[i] = radius * sine;
  }
}

inline double ToUniform(uint32_t word) {
  return static_cast<double>(static_cast<int32_t>(word >> 8)) * 0x1p-24;
}

// Lanes to element order, as T.
void Interleave(const Words& words, uint32_t* __restrict out) {
  for (int i = 0; i < kBlocks; ++i) {
    for (int lane = 0; lane < 4; ++lane) out[4 * i + lane] = words.lane[lane][i];
  }
}

template <class T>
void InterleaveUniform(const Words& words, T* __restrict out) {
  for (int i = 0; i < kBlocks; ++i) {
    for (int lane = 0; lane < 4; ++lane) {
      // 24 bits fit a signed integer, which converts in vectors, and are exact in float.
      out[4 * i + lane] =
          static_cast<T>(static_cast<int32_t>(words.lane[lane][i] >> 8)) * static_cast<T>(0x1p-24);
    }
  }
}

template <class T>
void InterleaveNormal(const Words& words, T* __restrict out) {
  alignas(64) double z[4][kBlocks];
  BoxMuller(words.lane[0], words.lane[1], z[0], z[1]);
  BoxMuller(words.lane[2], words.lane[3], z[2], z[3]);
  for (int i = 0; i < kBlocks; ++i) {
    for (int lane = 0; lane < 4; ++lane) out[4 * i + lane] = static_cast<T>(z[lane][i]);
  }
}

// Draws elements [first_index, first_index + out.size()) in groups of kBlocks whole blocks. Groups that lie
// wholly inside go straight to `out`; the ends go through a buffer.
template <class T, class Convert>
void Fill(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<T> out, Convert convert) {
  constexpr size_t kElements = 4 * kBlocks;
  Words words;
  alignas(64) T buffer[kElements];
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t index = first_index + done;
    const size_t skip = index % 4;  // the first element's lane
    const size_t take = std::min(out.size() - done, kElements - skip);
    MakeWords(key, hi, index / 4, &words);
    if (skip == 0 && take == kElements) {
      convert(words, out.data() + done);
    } else {
      convert(words, buffer);
      std::copy_n(buffer + skip, take, out.data() + done);
    }
    done += take;
  }
}

// The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection whose every output bit hangs on every
// input.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// One link of the chain: state and word are mixed apart, so that equal sums do not meet.
uint64_t Link(uint64_t state, uint64_t word) {
  return Mix(state * 0xD1342543DE82EF95u + Mix(word + 0x9E3779B97F4A7C15u) + 0x9E3779B97F4A7C15u);
}

constexpr uint64_t kNameDomain = 0x6E616D65u;   // "name": keeps names and word lists apart
constexpr uint64_t kWordsDomain = 0x776F7264u;  // "word"

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  auto [c0, c1, c2, c3] = counter;
  PhiloxRounds(c0, c1, c2, c3, key[0], key[1]);
  return {c0, c1, c2, c3};
}

PhiloxKey DeriveKey(uint64_t seed, std::string_view name) {
  uint64_t state = Link(Mix(seed + kNameDomain), name.size());
  while (!name.empty()) {
    uint64_t word = 0;
    const size_t take = std::min<size_t>(8, name.size());
    for (size_t i = 0; i < take; ++i) word |= uint64_t{static_cast<unsigned char>(name[i])} << (8 * i);
    state = Link(state, word);
    name.remove_prefix(take);
  }
  return {state};
}

PhiloxKey DeriveKey(uint64_t seed, std::initializer_list<uint64_t> words) {
  uint64_t state = Link(Mix(seed + kWordsDomain), words.size());
  for (const uint64_t word : words) state = Link(state, word);
  return {state};
}

uint32_t Bits(PhiloxKey key, uint64_t hi, uint64_t index) {
  return PhiloxBits(key.value, hi, index);
}

void FillBits(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<uint32_t> out) {
  Fill(key, hi, first_index, out, Interleave);
}

double Uniform(PhiloxKey key, uint64_t hi, uint64_t index) {
  return ToUniform(Bits(key, hi, index));
}

void FillUniform(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<float> out) {
  Fill(key, hi, first_index, out, InterleaveUniform<float>);
}

void FillUniform(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<double> out) {
  Fill(key, hi, first_index, out, InterleaveUniform<double>);
}

double Normal(PhiloxKey key, uint64_t hi, uint64_t index) {
  const uint64_t pair = index & ~uint64_t{1};
  double cosine, sine;
  CosSin(Bits(key, hi, pair + 1), &cosine, &sine);
  return std::sqrt(MinusTwoLog(Bits(key, hi, pair))) * (index % 2 == 0 ? cosine : sine);
}

void FillNormal(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<float> out) {
  Fill(key, hi, first_index, out, InterleaveNormal<float>);
}

void FillNormal(PhiloxKey key, uint64_t hi, uint64_t first_index, std::span<double> out) {
  Fill(key, hi, first_index, out, InterleaveNormal<double>);
}

}  // namespace orthant
