// The units of a pipeline stage before they have memory: what a stage builds, and what is predicted from.
#pragma once

#include <cstdint>
#include <vector>

#include "orthant/data_parallel/unit_plan.h"
#include "orthant/model/model_config.h"
#include "orthant/model/stage_share.h"

namespace orthant {

struct StagePlan {
  std::vector<UnitPlan> table;  // the embedding tied across stages
  std::vector<UnitPlan> embedding, head;
  std::vector<std::vector<UnitPlan>> blocks;  // by layer of the stage
};

// What one tensor rank of `parts` holds; all hold as much. `config` is valid and `vocab` resolved.
StagePlan PlanStage(const ModelConfig& config, const StageShare& share, int64_t vocab, int parts,
                    const UnitSplit& split);

}  // namespace orthant
