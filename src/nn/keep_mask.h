// Which elements dropout keeps, as a function of one element: what a GPU thread computes. The processor draws
// runs of elements at a time (dropout.cpp); both decide alike.
#pragma once

#include <cstddef>
#include <cstdint>

#include "orthant/core/philox_rounds.h"

namespace orthant {

// The share of each sample's logical tensor [., logical1, count2] that a mask covers (DropoutWindow), and the
// numbers that it is drawn from.
struct KeepMask {
  uint64_t key = 0, threshold = 0;  // dropped: bits below the threshold
  int64_t logical1 = 1;
  int64_t begin0 = 0, count0 = 1;
  int64_t begin1 = 0, count1 = 1;
  int64_t count2 = 1;

  constexpr int64_t sample() const { return count0 * count1 * count2; }  // elements of one
};

// 1 or 0 for element `local` of [count0, count1, count2] of the sample at `row` of the global batch.
constexpr uint8_t Keeps(const KeepMask& mask, int64_t row, int64_t local) {
  const int64_t run = mask.count1 * mask.count2;  // contiguous in the logical tensor
  const int64_t i0 = mask.begin0 + local / run;
  const int64_t element = (i0 * mask.logical1 + mask.begin1) * mask.count2 + local % run;
  return PhiloxBits(mask.key, static_cast<uint64_t>(row), static_cast<uint64_t>(element)) >= mask.threshold
             ? 1
             : 0;
}

// keep[i * sample + e] = Keeps(mask, rows[i], e) for `count` rows, in a GPU's memory, on the calling thread's
// stream of it; `rows` lie in main memory and may go when it returns. Throws c10::Error where it cannot be
// launched, and where this build has no CUDA.
void FillKeepOnGpu(uint8_t* keep, const KeepMask& mask, const int64_t* rows, size_t count);

}  // namespace orthant
