// What backward computes again instead of keeping (arXiv 2205.05198, section 5). Pure data.
#pragma once

#include <cstdint>

namespace orthant {

struct RecomputePlan {
  enum class Kind { kNone, kSelective, kFull };  // selective: the attention core; full: whole blocks
  Kind kind = Kind::kNone;
  int64_t every = 1;  // in every n-th block, from the first

  Kind Of(int64_t layer) const { return layer % every == 0 ? kind : Kind::kNone; }
};

}  // namespace orthant
