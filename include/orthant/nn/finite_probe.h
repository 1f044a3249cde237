// FiniteProbe: finds the first tensor of a step that holds a number that is not finite. Off in training; a
// step that went wrong is computed again with it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "ATen/core/Tensor.h"

namespace orthant {

// When in a step something was computed, for comparing ranks: microbatch, then forward before backward, then
// depth.
struct ProbeMoment {
  int microbatch = 0;
  bool backward = false;
  int depth = 0;  // grows in the order of computation

  // Below 2^62; smaller is earlier.
  int64_t Key() const {
    return (int64_t{microbatch} << 32) | (int64_t{backward} << 31) | static_cast<int64_t>(depth);
  }
};

// One rank's thread.
class FiniteProbe {
 public:
  // Remembers `what` when `tensor` (any shape, floating) is not finite and nothing earlier was.
  void Check(const ProbeMoment& moment, const std::string& what, const at::Tensor& tensor);

  bool found() const { return !what_.empty(); }
  int64_t key() const { return key_; }  // of the first; the largest int64 when all was finite
  // "gradient of h.3.mlp.c_fc.weight", "output of block 3"
  const std::string& what() const { return what_; }

 private:
  int64_t key_ = std::numeric_limits<int64_t>::max();
  std::string what_;
};

}  // namespace orthant
