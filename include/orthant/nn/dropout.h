// Dropout whose masks are a function of logical position alone - (seed, step, sample, layer, site, element) -
// so that every mesh drops the same elements and a rank draws only its own share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ATen/core/Tensor.h"

namespace orthant {

enum class DropoutSite : uint64_t { kEmbedding = 1, kAttention = 2, kAttentionOutput = 3, kMlpOutput = 4 };

// Which numbers a mask is drawn from.
struct DropoutKey {
  uint64_t seed = 0;
  uint64_t step = 0;
  uint64_t layer = 0;
  DropoutSite site = DropoutSite::kEmbedding;
};

// A share of the logical per-sample tensor [L0, L1, L2]: [count0, count1, count2] elements from (begin0,
// begin1, 0); the last dim is always whole (L2 == count2).
struct DropoutWindow {
  int64_t logical1 = 1;  // L1
  int64_t begin0 = 0, count0 = 1;
  int64_t begin1 = 0, count1 = 1;
  int64_t count2 = 1;
};

// x [B, count0, count1, count2] (any shape with these elements in this order), `rows` the B positions within
// the global batch -> x * mask / (1 - p), differentiable; keeps a byte an element for its backward. p = 0
// returns x itself.
at::Tensor Dropout(const at::Tensor& x, double p, const DropoutKey& key, std::span<const int64_t> rows,
                   const DropoutWindow& window);

}  // namespace orthant
