// `orthant verify`: the proof of mesh invariance for a user's own configuration. Every legal layout runs the
// same steps as one rank does, and every rank compares every loss, gradient norm, gradient and parameter with
// that.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/train/comparison.h"
#include "orthant/train/layouts.h"
#include "orthant/train/trainer.h"

namespace orthant {

struct VerifyOptions {
  int64_t max_ranks = 16;
  int64_t steps = 3;
  int64_t meshes = 0;  // 0: every legal combination; else this many of each variant
  // 0: these are spread evenly over all; else they are drawn by it, others for each variant.
  int64_t seed = 0;
  std::string dtype = "fp64";  // fp32 and bf16 are held to their own bounds
};

// One way to run a configuration.
struct Combination {
  std::string variant;  // the override that was added, "" for the configuration as it stands
  Layout layout;
};

struct CombinationResult {
  Combination combination;
  double max_rel_diff = 0.0;
  Tolerance largest = kNoDifference;  // of each kind
  std::string worst;  // "loss", "grad_norm", "gradient of <logical tensor>" or "value of <logical tensor>"
  std::string first;  // the first in forward order that is beyond the tolerance; "" when all agree
  double first_diff = 0.0;
  std::string error;  // why it did not run to the end; "" when it did
  double seconds = 0.0;
  bool agrees = false;  // it ran, and all differences are within the tolerance
  bool ok() const { return agrees; }
};

struct VerifyResult {
  RunConfig config;            // as run on one rank
  std::vector<double> losses;  // of the reference, the configuration as it stands
  int64_t legal = 0;           // combinations that exist; results may be fewer when `meshes` was given
  std::vector<CombinationResult> results;
  bool ok() const;
};

// `load(override)` gives the user's configuration with one more override ("" for none). `progress(done,
// total, last)` is called after each combination; it may be null.
using LoadVariant = std::function<absl::StatusOr<RunConfig>(const std::string& variant)>;
using VerifyProgress = std::function<void(int64_t done, int64_t total, const CombinationResult& last)>;
absl::StatusOr<VerifyResult> Verify(const LoadVariant& load, const VerifyOptions& options,
                                    const VerifyProgress& progress);

}  // namespace orthant
