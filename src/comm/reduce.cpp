#include "comm/reduce.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "c10/util/BFloat16.h"
#include "c10/util/Half.h"

#if defined(__F16C__) && defined(__AVX__)
#include <immintrin.h>
#endif

// The loops below are bound by memory when they vectorise and by arithmetic when they do not; -O2 leaves them
// scalar.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace orthant {
namespace {

// One block of accumulators: 8 KB of fp32, well inside a first-level cache together with its sources.
constexpr int64_t kBlock = 2048;

template <typename T>
struct Wide {
  using Type = T;
};
template <>
struct Wide<c10::BFloat16> {
  using Type = float;
};
template <>
struct Wide<c10::Half> {
  using Type = float;
};

template <typename T>
void WidenBlock(const T* __restrict from, typename Wide<T>::Type* __restrict to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) to[i] = static_cast<typename Wide<T>::Type>(from[i]);
}

template <typename T>
void NarrowBlock(const typename Wide<T>::Type* __restrict from, T* __restrict to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) to[i] = static_cast<T>(from[i]);
}

// The two below say the same as c10's conversions, in a form that vectorises: plain 16-bit words and selects.
template <>
void WidenBlock(const c10::BFloat16* __restrict from, float* __restrict to, int64_t size) {
  const auto* words = reinterpret_cast<const uint16_t*>(from);
  for (int64_t i = 0; i < size; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(words[i]) << 16);
}

template <>
void NarrowBlock(const float* __restrict from, c10::BFloat16* __restrict to, int64_t size) {
  auto* words = reinterpret_cast<uint16_t*>(to);
  for (int64_t i = 0; i < size; ++i) {
    // Round to nearest, ties to even; a NaN stays one.
    const auto bits = std::bit_cast<uint32_t>(from[i]);
    const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    words[i] = static_cast<uint16_t>(nan ? 0x7FC0u : rounded);
  }
}

#if defined(__F16C__) && defined(__AVX__)
template <>
void WidenBlock(const c10::Half* __restrict from, float* __restrict to, int64_t size) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
  for (; i < size; ++i) to[i] = static_cast<float>(from[i]);
}

template <>
void NarrowBlock(const float* __restrict from, c10::Half* __restrict to, int64_t size) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(to + i),
        _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  for (; i < size; ++i) to[i] = static_cast<c10::Half>(from[i]);
}
#endif

template <ReduceOp op, typename T>
inline T Combine(T a, T b) {
  if constexpr (op == ReduceOp::kSum) return a + b;
  // A NaN on either side stays: a comparison with it is false.
  if constexpr (op == ReduceOp::kMax) return a > b || a != a ? a : b;
  return a < b || a != a ? a : b;
}

template <ReduceOp op, typename T>
void CombineBlock(T* __restrict total, const T* __restrict next, int64_t size) {
  for (int64_t i = 0; i < size; ++i) total[i] = Combine<op>(total[i], next[i]);
}

// Two ranks in place is the commonest case of all: one pass, nothing between the sum and the stores. `a` and
// `b` are added in this order; the one named, or both, take the sum, and so does `copy` where there is one.
template <ReduceOp op, typename T>
void PairInPlace(T* __restrict a, T* __restrict b, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const T value = Combine<op>(a[i], b[i]);
    a[i] = value;
    b[i] = value;
  }
}

template <ReduceOp op, typename T>
void PairIntoFirst(T* __restrict a, const T* __restrict b, T* __restrict copy, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const T value = Combine<op>(a[i], b[i]);
    a[i] = value;
    copy[i] = value;
  }
}

template <ReduceOp op, typename T>
void PairIntoSecond(const T* __restrict a, T* __restrict b, T* __restrict copy, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const T value = Combine<op>(a[i], b[i]);
    b[i] = value;
    copy[i] = value;
  }
}

// Whether that served.
template <ReduceOp op, typename T>
bool Pair(const void* const* sources, int source_count, void* const* targets, int target_count, int64_t begin,
          int64_t end, const Instalment& instalment) {
  if (source_count != 2 || target_count != 2 || instalment.before != nullptr || instalment.after != nullptr)
    return false;
  auto* first = static_cast<T*>(targets[0]);
  auto* second = static_cast<T*>(targets[1]);
  if (sources[0] == first && sources[1] == second) {
    PairInPlace<op>(first, second, begin, end);
  } else if (sources[0] == first && sources[1] != first) {
    PairIntoFirst<op>(first, static_cast<const T*>(sources[1]), second, begin, end);
  } else if (sources[1] == first && sources[0] != second) {
    PairIntoSecond<op>(static_cast<const T*>(sources[0]), first, second, begin, end);
  } else {
    return false;
  }
  return true;
}

template <ReduceOp op, typename T>
void Blocks(const void* const* sources, int source_count, void* const* targets, int target_count,
            int64_t begin, int64_t end, const Instalment& instalment) {
  using W = typename Wide<T>::Type;
  constexpr bool kNarrow = !std::is_same_v<T, W>;
  if constexpr (!kNarrow) {
    if (Pair<op, T>(sources, source_count, targets, target_count, begin, end, instalment)) return;
  }
  alignas(64) W total[kBlock];
  alignas(64) W widened[kNarrow ? kBlock : 1];
  alignas(64) T narrowed[kNarrow ? kBlock : 1];
  for (int64_t first = begin; first < end; first += kBlock) {
    const int64_t size = std::min(kBlock, end - first);
    const bool begun = instalment.before != nullptr;
    if (begun) {
      std::memcpy(total, static_cast<const W*>(instalment.before) + first,
                  static_cast<size_t>(size) * sizeof(W));
    } else {
      WidenBlock(static_cast<const T*>(sources[0]) + first, total, size);
    }
    for (int r = begun ? 0 : 1; r < source_count; ++r) {
      const T* next = static_cast<const T*>(sources[r]) + first;
      if constexpr (kNarrow) {
        WidenBlock(next, widened, size);
        CombineBlock<op>(total, widened, size);
      } else {
        CombineBlock<op>(total, next, size);
      }
    }
    if (instalment.after != nullptr) {
      std::memcpy(static_cast<W*>(instalment.after) + first, total, static_cast<size_t>(size) * sizeof(W));
    }
    const void* result = total;
    if constexpr (kNarrow) {
      NarrowBlock(total, narrowed, size);
      result = narrowed;
    }
    for (int j = 0; j < target_count; ++j) {
      std::memcpy(static_cast<T*>(targets[j]) + first, result, static_cast<size_t>(size) * sizeof(T));
    }
  }
}

template <typename T>
void ByOp(ReduceOp op, const void* const* sources, int source_count, void* const* targets, int target_count,
          int64_t begin, int64_t end, const Instalment& instalment) {
  switch (op) {
    case ReduceOp::kSum:
      return Blocks<ReduceOp::kSum, T>(sources, source_count, targets, target_count, begin, end, instalment);
    case ReduceOp::kMax:
      return Blocks<ReduceOp::kMax, T>(sources, source_count, targets, target_count, begin, end, instalment);
    case ReduceOp::kMin:
      return Blocks<ReduceOp::kMin, T>(sources, source_count, targets, target_count, begin, end, instalment);
  }
}

}  // namespace

int64_t InstalmentSize(c10::ScalarType dtype) {
  const bool narrow = dtype == c10::ScalarType::BFloat16 || dtype == c10::ScalarType::Half;
  return narrow ? static_cast<int64_t>(sizeof(float)) : static_cast<int64_t>(c10::elementSize(dtype));
}

void ReduceInto(c10::ScalarType dtype, ReduceOp op, const void* const* sources, int source_count,
                void* const* targets, int target_count, int64_t begin, int64_t end,
                const Instalment& instalment) {
  const auto run = [&](auto zero) {
    ByOp<decltype(zero)>(op, sources, source_count, targets, target_count, begin, end, instalment);
  };
  switch (dtype) {
    case c10::ScalarType::Double:
      return run(double{});
    case c10::ScalarType::Float:
      return run(float{});
    case c10::ScalarType::BFloat16:
      return run(c10::BFloat16{});
    case c10::ScalarType::Half:
      return run(c10::Half{});
    case c10::ScalarType::Long:
      return run(int64_t{});
    default:
      break;  // Communicator admits no other
  }
}

}  // namespace orthant
