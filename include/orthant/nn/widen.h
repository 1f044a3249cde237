// The kernels' view of 16-bit elements: whole blocks of them as fp32, the type that their arithmetic is done
// in. For fp32 and fp64 the same calls are copies.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ATen/OpMathType.h"
#include "c10/util/BFloat16.h"
#include "c10/util/Half.h"
#include "orthant/core/float16.h"

namespace orthant {

// What elements of T are added and multiplied in: float for 16-bit types, else T.
template <typename T>
using Wide = at::opmath_type<T>;

// Elements that a kernel widens at a time, into a buffer on the stack.
inline constexpr int64_t kWidenBlock = 1024;

template <typename T>
void Widen(const T* from, Wide<T>* to, int64_t count) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    WidenBFloat16(reinterpret_cast<const uint16_t*>(from), to, count);
  } else if constexpr (std::is_same_v<T, c10::Half>) {
    WidenHalf(reinterpret_cast<const uint16_t*>(from), to, count);
  } else {
    std::copy(from, from + count, to);
  }
}

// Rounds to nearest, ties to even.
template <typename T>
void Narrow(const Wide<T>* from, T* to, int64_t count) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    NarrowBFloat16(from, reinterpret_cast<uint16_t*>(to), count);
  } else if constexpr (std::is_same_v<T, c10::Half>) {
    NarrowHalf(from, reinterpret_cast<uint16_t*>(to), count);
  } else {
    std::copy(from, from + count, to);
  }
}

}  // namespace orthant
