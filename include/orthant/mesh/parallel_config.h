// The `parallel:` section of a run: degrees, rank order and how each axis is used; and the mesh made from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/config/fields.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

struct ParallelConfig {
  int data = 1, tensor = 1, pipeline = 1, sequence = 1;
  std::vector<std::string> order = {"pipeline", "data", "sequence", "tensor"};  // outermost first
  int zero = 0;                                                                 // ZeRO stage
  std::string schedule = "1f1b";                                                // pipeline schedule
  bool tensor_sequence = false;      // norms and residuals sharded along the sequence inside the tensor group
  std::vector<int64_t> stages = {};  // layers per stage; empty: balanced
  std::string placement = "by_host";  // which process is which rank: by_host | as_launched

  Degrees degrees() const {
    return {.data = data, .tensor = tensor, .pipeline = pipeline, .sequence = sequence};
  }
};

void Describe(Fields& fields, ParallelConfig& config);

// ConfigurationError unless `names` holds each axis name once.
absl::StatusOr<AxisOrder> ParseOrder(const std::vector<std::string>& names);

// The mesh of `config` over `world` ranks. ConfigurationError, with the arithmetic and the nearest legal
// degrees, when the degrees' product is not `world`, a degree is below 1 or the order is no permutation.
absl::StatusOr<Mesh> MakeMesh(const ParallelConfig& config, int64_t world);

// Degrees with product `world` that differ from `degrees` on as few axes as possible (one, else two, else all
// of the world on `data`), nearest in ratio first; ties go to the axis that comes first in kAxes. world >= 1.
Degrees NearestDegrees(const Degrees& degrees, int64_t world);

}  // namespace orthant
