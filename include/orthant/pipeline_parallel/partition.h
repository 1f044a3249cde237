// Which stage holds how many layers: uneven splits that weigh the embedding and the head. Pure arithmetic.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

// Layers of each of `stages` stages, in order, each at least 1, summing to `layers`. The first stage also
// carries the embedding and the last one the head, costed in units of one layer (>= 0, finite). The costliest
// stage is as cheap as any split can make it; so, then, is the sum of squares (the others are as even as can
// be); what ties remain put the extra layer on the latest stage, which holds the fewest live activations
// under 1F1B. O(layers x stages). ConfigurationError, naming the legal degrees, when there are more stages
// than layers.
absl::StatusOr<std::vector<int64_t>> PartitionLayers(int64_t layers, int64_t stages, double embedding_cost,
                                                     double head_cost);

// An explicit list: one entry a stage, each at least 1, summing to `layers`; else ConfigurationError with a
// legal list.
absl::Status ValidateStages(const std::vector<int64_t>& layers_per_stage, int64_t layers, int64_t stages);

}  // namespace orthant
