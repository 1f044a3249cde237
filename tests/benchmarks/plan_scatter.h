// How far rows of one mesh lie from a curve of their own: a bound on what a model of layouts can reach on
// them.
#pragma once

#include <vector>

#include "plan_fit.h"

namespace orthant::bench {

struct RowScatter {
  std::vector<FitRow> rows;    // those of meshes (model, tensor, data, pipeline) with at least three rows
  std::vector<double> errors;  // curve / measured - 1, the curve through the mesh's other rows
};

// The curve: (microbatches + pipeline - 1) (a + b micro_batch), of least absolute relative error. It has two
// constants for each mesh and sees rows of the mesh itself, which a planner's model does not.
RowScatter ScatterOf(const std::vector<FitRow>& rows);

}  // namespace orthant::bench
