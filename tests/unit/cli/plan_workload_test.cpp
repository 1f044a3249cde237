// A planned layout as keys of a run, and back.
#include "cli/plan_workload.h"

#include <gtest/gtest.h>

#include "orthant/config/config.h"
#include "orthant/plan/plan_report.h"

namespace orthant {
namespace {

RunConfig Loaded(const std::string& yaml, const std::vector<std::string>& overrides) {
  RunConfig config;
  const absl::StatusOr<LoadedConfig> loaded =
      LoadConfigFromText(yaml, "run.yaml", overrides, [&](Fields& fields) { Describe(fields, config); });
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return config;
}

TEST(PlanWorkload, LayoutsComeBackFromTheirKeysAndFromTheirFile) {
  PlannedLayout every;
  every.data = 4;
  every.tensor = 2;
  every.pipeline = 3;
  every.sequence = 2;
  every.schedule = PlanSchedule::kGpipe;
  every.zero = 3;
  every.shard_ranks = 2;
  every.recompute = Recompute::kSelective;
  every.offload = Offload::kAll;
  every.micro_batch = 5;
  every.tensor_sequence = true;
  PlannedLayout optimizer;
  optimizer.zero = 1;
  optimizer.offload = Offload::kOptimizer;
  optimizer.recompute = Recompute::kFull;
  for (const PlannedLayout& layout : {PlannedLayout(), every, optimizer}) {
    EXPECT_EQ(PlannedLayoutOf(Loaded("{}", LayoutOverrides(layout))), layout) << layout.ToString();
    EXPECT_EQ(PlannedLayoutOf(Loaded(LayoutYaml(layout, "why"), {})), layout) << layout.ToString();
  }
}

}  // namespace
}  // namespace orthant
