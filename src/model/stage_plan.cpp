#include "orthant/model/stage_plan.h"

#include "absl/strings/str_cat.h"
#include "model/gpt2_specs.h"

namespace orthant {

StagePlan PlanStage(const ModelConfig& config, const StageShare& share, int64_t vocab, int parts,
                    const UnitSplit& split) {
  const Gpt2StageSpecs specs = SpecsOfGpt2Stage(config, share, vocab, parts, /*part=*/0);
  StagePlan plan;
  plan.table = PlanUnits("table", specs.table, split);
  plan.embedding = PlanUnits("embedding", specs.embedding, split);
  for (size_t l = 0; l < specs.blocks.size(); ++l) {
    plan.blocks.push_back(
        PlanUnits(absl::StrCat("h.", share.first_layer + static_cast<int64_t>(l)), specs.blocks[l], split));
  }
  plan.head = PlanUnits("head", specs.head, split);
  return plan;
}

}  // namespace orthant
