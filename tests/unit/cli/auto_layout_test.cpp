// `parallel: auto`: what the planner puts into a run, what it keeps, and what it refuses.
#include "cli/auto_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "orthant/core/status.h"
#include "orthant/train/validate.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kRun =
    "model: {layers: 4, heads: 4, hidden: 64, context: 32, vocab: 61}\n"
    "parallel: auto\n"
    "train: {global_batch: 16}\n"
    "data: {source: synthetic}\n";

class AutoLayout : public ::testing::Test {
 protected:
  AutoLayout() {
    ::unsetenv("ORTHANT_CLUSTER");
    folder.Write("constants.yaml", Constants("Orthant"));
    folder.Write("foreign.yaml", Constants("Megatron-LM"));
    cluster = WriteCluster("here.yaml", "constants.yaml");
  }
  ~AutoLayout() override { ::unsetenv("ORTHANT_CLUSTER"); }

  static std::string Constants(const std::string& software) {
    return "calibration: {name: constants}\nsoftware: {name: " + software +
           ", schedules: [gpipe, \"1f1b\"], tensor_sequence: true}\n";
  }
  // A node of four devices of 4 GB, alone.
  std::string WriteCluster(const std::string& name, const std::string& calibration) {
    return folder.Write(
        name,
        "cluster: {name: here, scheduler: none}\n"
        "node: {gpus: 4, gpu: device, gpu_memory: 4 GB}\n"
        "performance: {peak_tflops: 0.05, memory_bandwidth: 10, node_bandwidth: 5, calibration: " +
            calibration + "}\n");
  }

  void Load(const std::vector<std::string>& overrides = {}, const std::string& text = kRun) {
    config = RunConfig();
    plan = PlanKeys();
    auto read = LoadConfigFromText(text, "run.yaml", overrides,
                                   [this](Fields& f) { DescribeRunFile(f, config, plan); });
    ASSERT_TRUE(read.ok()) << read.status();
    loaded = std::make_unique<LoadedConfig>(*std::move(read));
  }
  absl::StatusOr<LayoutChoice> Choose(const std::string& name, int64_t ranks = 4) {
    return ChooseLayout(config, *loaded, plan, name, {ranks, "mpirun -n "});
  }
  void Apply() {
    const auto choice = Choose(cluster);
    ASSERT_TRUE(choice.ok()) << choice.status();
    ASSERT_TRUE(ApplyChoice(*choice, &config, loaded.get()).ok());
  }
  // The message of a choice that must fail, as the user's mistake.
  std::string Refusal(const std::string& name, int64_t ranks = 4) {
    const absl::Status status = Choose(name, ranks).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration) << status;
    return std::string(status.message());
  }

  const Folder folder;
  std::string cluster;
  RunConfig config;
  PlanKeys plan;
  std::unique_ptr<LoadedConfig> loaded;
};

TEST_F(AutoLayout, PutsTheChoiceIntoTheRun) {
  Load();
  const auto choice = Choose(cluster);
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_THAT(choice->origin, StartsWith("plan: here, 4 ranks, predicted "));
  EXPECT_THAT(choice->report, HasSubstr("choice     data "));
  EXPECT_THAT(choice->report, HasSubstr("runner-up  data "));
  ASSERT_TRUE(ApplyChoice(*choice, &config, loaded.get()).ok());
  EXPECT_EQ(config.parallel.degrees().world(), 4);
  EXPECT_TRUE(ValidateRun(config, nullptr).ok());
  for (const char* key : {"parallel.data", "parallel.tensor", "parallel.zero", "parallel.schedule",
                          "zero.shard_ranks", "memory.recompute", "train.micro_batch"})
    EXPECT_EQ(loaded->OriginOf(key), choice->origin) << key;
}

TEST_F(AutoLayout, WhatIsRecordedStartsTheSameRunWithoutAPlan) {
  Load();
  Apply();
  RunConfig stored;
  const auto read =
      LoadConfigFromText(loaded->Dump(), "config.yaml", {}, [&](Fields& f) { Describe(f, stored); });
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(loaded->OriginOf("parallel.layout"), "") << "the planner's keys are not the run's";
  EXPECT_TRUE(read->Diff(*loaded).empty());
}

TEST_F(AutoLayout, KeepsWhatTheUserHasSet) {
  Load({"parallel.tensor=2", "parallel.pipeline=2", "parallel.schedule=gpipe", "train.micro_batch=4",
        "memory.recompute=full"});
  const auto choice = Choose(cluster);
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_THAT(choice->report, HasSubstr("kept       command line: train.micro_batch = 4"));
  Apply();
  EXPECT_EQ(config.parallel.tensor, 2);
  EXPECT_EQ(config.parallel.pipeline, 2);
  EXPECT_EQ(config.parallel.schedule, "gpipe");
  EXPECT_EQ(config.parallel.data * config.parallel.sequence, 1);
  EXPECT_EQ(config.train.micro_batch, 4);
  EXPECT_EQ(config.memory.recompute, "full");
  EXPECT_EQ(loaded->OriginOf("train.micro_batch"), "command line");
}

TEST_F(AutoLayout, StagesThatAreWrittenSayHowManyThereAre) {
  Load({"parallel.stages=[1,3]"});
  Apply();
  EXPECT_EQ(config.parallel.pipeline, 2);
  EXPECT_TRUE(ValidateRun(config, nullptr).ok());
}

TEST_F(AutoLayout, KeepsBelowTheLimitOfTheRun) {
  Load({"memory.limit=64 KiB"});
  EXPECT_THAT(Refusal(cluster), HasSubstr("nothing fits"));
  EXPECT_THAT(Refusal(cluster), HasSubstr("command line: memory.limit = 64 KiB"));
}

TEST_F(AutoLayout, TakesTheClusterFromTheOptionTheEnvironmentAndTheFile) {
  Load({"plan.cluster=" + cluster});
  EXPECT_TRUE(Choose("").ok());
  ::setenv("ORTHANT_CLUSTER", "polari", 1);
  EXPECT_THAT(Refusal(""), StartsWith("ORTHANT_CLUSTER = polari: no such cluster; did you mean polaris?"));
  EXPECT_TRUE(Choose(cluster).ok()) << "--cluster comes first";
}

TEST_F(AutoLayout, SaysWhatIsWrongWithTheCluster) {
  Load();
  EXPECT_THAT(Refusal(""), StartsWith("run.yaml:2: parallel.layout = auto: the machine is not named"));
  EXPECT_THAT(Refusal("polari"), StartsWith("--cluster polari: no such cluster; did you mean polaris?"));
  EXPECT_THAT(Refusal(WriteCluster("other.yaml", "foreign.yaml")), HasSubstr("is of Megatron-LM"));
  EXPECT_THAT(Refusal(cluster, 8), StartsWith("mpirun -n 8: here has one node of 4 devices"));
  Load({"plan.cluster=polari"});
  EXPECT_THAT(Refusal(""), StartsWith("command line: plan.cluster = polari: no such cluster"));
}

TEST_F(AutoLayout, NamesWhatIsKeptWhenNothingIsLegal) {
  Load({"parallel.tensor=3"});
  EXPECT_THAT(Refusal(cluster, 3), HasSubstr("no layout is legal"));
  EXPECT_THAT(Refusal(cluster, 3), HasSubstr("command line: parallel.tensor = 3"));
  Load({"zero.offload.optimizer=nvme"});
  EXPECT_THAT(Refusal(cluster), HasSubstr("command line: zero.offload.optimizer = nvme"));
  EXPECT_THAT(Refusal(cluster), HasSubstr("zero.offload.optimizer=none"));
}

TEST_F(AutoLayout, RefusesWhatThePlannerDoesNotKnow) {
  Load({"zero.offload.optimizer=host"});
  EXPECT_THAT(Refusal(cluster),
              StartsWith("command line: zero.offload.optimizer = host: the planner does not know how long it "
                         "takes, for here has no performance.host_bandwidth"));
  Load({"parallel.order=[data,pipeline,sequence,tensor]"});
  EXPECT_THAT(Refusal(cluster), HasSubstr("parallel.order"));
  Load({"memory.recompute=full", "memory.recompute_every=2"});
  EXPECT_THAT(Refusal(cluster), HasSubstr("nearest legal with parallel: auto: memory.recompute_every=1"));
  Load({"model.heads=3"});
  EXPECT_THAT(Refusal(cluster), StartsWith("command line: model.heads = 3 must divide model.hidden = 64"));
}

TEST_F(AutoLayout, OtherCommandsAreToldToWriteTheLayout) {
  RunConfig other;
  const absl::Status status = LoadRun({folder.Write("run.yaml", kRun), {}}, &other).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("run.yaml:2: parallel.layout = auto: `orthant train`"));
}

}  // namespace
}  // namespace orthant::testing
