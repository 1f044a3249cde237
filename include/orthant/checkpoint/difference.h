// `orthant checkpoint diff`: the logical tensors of two checkpoints, compared by value, whatever meshes wrote
// them. Streams: memory does not grow with the model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/manifest.h"

namespace orthant {

struct DiffOptions {
  std::vector<StateKind> kinds;              // empty: all
  int64_t window_bytes = int64_t{16} << 20;  // of a tensor held at once, of either checkpoint
  std::function<void(int64_t done, int64_t total)> progress;  // elements; may be null
};

// A tensor that is in both, with the same shape, and is not the same to the bit.
struct TensorDifference {
  std::string tensor;
  StateKind kind = StateKind::kParameter;
  at::ScalarType dtype_a = at::kFloat, dtype_b = at::kFloat;
  std::vector<int64_t> shape;
  int64_t elements = 0;
  // Elements that differ: in their bits, or where the dtypes differ in their values.
  int64_t differing = 0;
  int64_t not_finite = 0;  // of those, NaN or infinite on a side; left out of the numbers below
  double max_abs = 0.0;    // largest |a - b|
  double magnitude = 0.0;  // largest |a| or |b|
  int64_t at = -1;         // the element of max_abs, else the first that differs; flat, row-major

  double max_rel() const { return magnitude > 0.0 ? max_abs / magnitude : 0.0; }
};

struct CheckpointDifference {
  struct Side {
    std::string folder;
    int64_t step = 0;
  };
  struct Unmatched {
    std::string tensor;
    StateKind kind = StateKind::kParameter;
    std::vector<int64_t> shape_a, shape_b;  // empty on the side that lacks it
  };

  Side a, b;
  int64_t compared = 0, elements = 0;         // tensors in both, and their elements
  std::vector<TensorDifference> differences;  // worst first: not finite, then max_rel, then max_abs
  int64_t other_dtype = 0;                    // tensors with the same values in another dtype
  std::vector<Unmatched> unmatched;           // in one alone, or of another shape

  bool identical() const { return differences.empty() && unmatched.empty() && other_dtype == 0; }
  // `top`: rows of the table at most; 0: all.
  std::string ToText(int64_t top) const;
  nlohmann::ordered_json ToJson(int64_t top) const;
};

// DataError: what CheckpointReader finds in either, or no tensor of these kinds in both.
absl::StatusOr<CheckpointDifference> DiffCheckpoints(const std::string& step_folder_a,
                                                     const std::string& step_folder_b,
                                                     const DiffOptions& options);

}  // namespace orthant
