#include "comm/reduce.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "c10/util/BFloat16.h"
#include "c10/util/Half.h"

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
inline typename Wide<T>::Type Widen(T value) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    return std::bit_cast<float>(static_cast<uint32_t>(value.x) << 16);
  } else {
    return static_cast<typename Wide<T>::Type>(value);
  }
}

template <typename T>
inline T Narrow(typename Wide<T>::Type value) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    // Round to nearest, ties to even; written with a select so that the loop vectorises.
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    return c10::BFloat16(static_cast<uint16_t>(nan ? 0x7FC0u : rounded), c10::BFloat16::from_bits());
  } else {
    return static_cast<T>(value);
  }
}

template <ReduceOp op, typename T>
inline T Combine(T a, T b) {
  if constexpr (op == ReduceOp::kSum) return a + b;
  // A NaN on either side stays: a comparison with it is false.
  if constexpr (op == ReduceOp::kMax) return a > b || a != a ? a : b;
  return a < b || a != a ? a : b;
}

// Two ranks in place is the commonest case of all: one pass, nothing between the sum and the stores.
template <ReduceOp op, typename T>
void PairInPlace(T* __restrict a, T* __restrict b, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const T value = Narrow<T>(Combine<op>(Widen(a[i]), Widen(b[i])));
    a[i] = value;
    b[i] = value;
  }
}

template <ReduceOp op, typename T>
void Blocks(const void* const* sources, int source_count, void* const* targets, int target_count,
            int64_t begin, int64_t end) {
  using W = typename Wide<T>::Type;
  if (source_count == 2 && target_count == 2 && sources[0] == targets[0] && sources[1] == targets[1]) {
    return PairInPlace<op>(static_cast<T*>(targets[0]), static_cast<T*>(targets[1]), begin, end);
  }
  alignas(64) W total[kBlock];
  alignas(64) T narrow[std::is_same_v<T, W> ? 1 : kBlock];
  for (int64_t first = begin; first < end; first += kBlock) {
    const int64_t size = std::min(kBlock, end - first);
    const T* __restrict head = static_cast<const T*>(sources[0]) + first;
    for (int64_t i = 0; i < size; ++i) total[i] = Widen(head[i]);
    for (int r = 1; r < source_count; ++r) {
      const T* __restrict next = static_cast<const T*>(sources[r]) + first;
      for (int64_t i = 0; i < size; ++i) total[i] = Combine<op>(total[i], Widen(next[i]));
    }
    const void* result = total;
    if constexpr (!std::is_same_v<T, W>) {
      for (int64_t i = 0; i < size; ++i) narrow[i] = Narrow<T>(total[i]);
      result = narrow;
    }
    for (int j = 0; j < target_count; ++j) {
      std::memcpy(static_cast<T*>(targets[j]) + first, result, static_cast<size_t>(size) * sizeof(T));
    }
  }
}

template <typename T>
void ByOp(ReduceOp op, const void* const* sources, int source_count, void* const* targets, int target_count,
          int64_t begin, int64_t end) {
  switch (op) {
    case ReduceOp::kSum:
      return Blocks<ReduceOp::kSum, T>(sources, source_count, targets, target_count, begin, end);
    case ReduceOp::kMax:
      return Blocks<ReduceOp::kMax, T>(sources, source_count, targets, target_count, begin, end);
    case ReduceOp::kMin:
      return Blocks<ReduceOp::kMin, T>(sources, source_count, targets, target_count, begin, end);
  }
}

}  // namespace

void ReduceInto(c10::ScalarType dtype, ReduceOp op, const void* const* sources, int source_count,
                void* const* targets, int target_count, int64_t begin, int64_t end) {
  const auto run = [&](auto zero) {
    ByOp<decltype(zero)>(op, sources, source_count, targets, target_count, begin, end);
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
