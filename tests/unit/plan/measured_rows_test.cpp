#include "orthant/plan/measured_rows.h"

#include <filesystem>

#include "gtest/gtest.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/plan/machine.h"

namespace orthant {
namespace {

constexpr const char* kSelf = ORTHANT_SOURCE_DIR "/build/any/orthant";
constexpr const char* kHead =
    "Parameters (billion),# GPUs,global batch,micro batch,hidden size,attention heads,# layers,sequence "
    "length,tensor parallelism,data parallelism,pipeline parallelism,iteration time (ms)\n";

std::string Message(const std::string& rows) {
  return std::string(ParseMeasuredRows(kHead + rows, "rows.csv").status().message());
}

TEST(MeasuredRows, ReadsTheThreeForms) {
  const absl::StatusOr<MeasuredRows> nodes =
      ParseMeasuredRows(std::string(kHead) + "3.6,64,512,8,3072,32,30,2048,1,64,1,3566.5\n", "rows.csv");
  ASSERT_TRUE(nodes.ok()) << nodes.status().message();
  EXPECT_EQ(nodes->rows[0].model, "3.6B");
  EXPECT_EQ(nodes->rows[0].line, 2);
  EXPECT_EQ(nodes->rows[0].layout.data, 64);
  EXPECT_DOUBLE_EQ(nodes->rows[0].seconds, 3.5665);
  EXPECT_FALSE(nodes->rows[0].one_node);

  const std::string one = std::string(kHead).substr(std::string("Parameters (billion),").size());
  const absl::StatusOr<MeasuredRows> node =
      ParseMeasuredRows(one + "8,32,4,1024,16,24,1024,2,2,2,219.7\n", "rows.csv");
  ASSERT_TRUE(node.ok()) << node.status().message();
  EXPECT_TRUE(node->rows[0].one_node);

  const absl::StatusOr<MeasuredRows> fsdp = ParseMeasuredRows(
      "model,seq_len,gpus,gpu,micro_batch,grad_accum,n_layers,d_model,n_heads,act_ckpt,tokens_per_s\n"
      "7b,2048,8,a100_40gb,12,4,32,4096,32,True,29436\n",
      "rows.csv");
  ASSERT_TRUE(fsdp.ok()) << fsdp.status().message();
  EXPECT_EQ(fsdp->rows[0].layout.recompute, Recompute::kFull);
  EXPECT_EQ(fsdp->rows[0].global_batch, 384);
  EXPECT_NEAR(fsdp->rows[0].seconds, 384.0 * 2048 / 29436, 1e-9);
}

TEST(MeasuredRows, MistakesNameFileLineColumnValueAndRule) {
  EXPECT_EQ(Message("3.6,64,512,8,3072,32,30,2048,1,64,1\n"),
            "rows.csv:2: 11 cells, and the head has 12 columns");
  EXPECT_EQ(Message("3.6,64,512,x,3072,32,30,2048,1,64,1,3566.5\n"),
            "rows.csv:2: micro batch = x: must be a whole number of at least 1");
  EXPECT_EQ(Message("3.6,64,512,8,3072,32,30,2048,1,64,1,-3\n"),
            "rows.csv:2: iteration time (ms) = -3: must be a number above 0");
  EXPECT_EQ(Message("3.6,60,512,8,3072,32,30,2048,1,64,1,3566.5\n"),
            "rows.csv:2: # GPUs = 60: must be data x tensor x pipeline = 64");
  EXPECT_EQ(Message("3.6,64,512,9,3072,32,30,2048,1,64,1,3566.5\n"),
            "rows.csv:2: micro batch = 9: must divide the global batch / data = 8; nearest legal: 8");
  EXPECT_EQ(Message("3.6,60,512,8,3072,32,30,2048,1,60,1,3566.5\n"),
            "rows.csv:2: data parallelism = 60: must divide the global batch = 512; nearest legal: 32 or 64");
  EXPECT_EQ(Message("3.6,64,512,8,3072,31,30,2048,1,64,1,3566.5\n"),
            "rows.csv:2: attention heads = 31: must divide the hidden size = 3072; nearest legal: 24 or 32");
  EXPECT_EQ(Message("3.6,256,512,1,3072,32,30,2048,1,64,4,3566.5\n"),
            "rows.csv:2: pipeline parallelism = 4: must divide # layers = 30; nearest legal: 3 or 5");
  EXPECT_EQ(
      std::string(ParseMeasuredRows("# GPUs,global bach\n1,2\n", "x.csv").status().message()).substr(0, 23),
      "x.csv:1: the head lacks");
  EXPECT_EQ(std::string(ReadMeasuredRows("/no/such.csv").status().message()).substr(0, 12), "/no/such.csv");
}

TEST(Calibrations, AllOfTheProjectLoadAndFitTheirClusters) {
  int clusters = 0;
  for (const auto& entry : std::filesystem::directory_iterator(ORTHANT_SOURCE_DIR "/configs/calibrations")) {
    const absl::StatusOr<Calibration> calibration = LoadCalibration(entry.path());
    ASSERT_TRUE(calibration.ok()) << calibration.status().message();
    EXPECT_FALSE(calibration->command.empty()) << entry.path();
    EXPECT_EQ(calibration->name, entry.path().stem().string());
  }
  for (const char* name : {"a100-vtrain", "a100-vtrain-node", "a100-mosaic", "h100-mosaic", "selene",
                           "h100-dgx", "polaris", "perlmutter", "frontier"}) {
    const absl::StatusOr<Machine> machine = LoadMachine(name, kSelf);
    ASSERT_TRUE(machine.ok()) << machine.status().message();
    ++clusters;
  }
  EXPECT_EQ(clusters, 9);
  EXPECT_EQ(ExitCodeOf(LoadMachine("slurm", kSelf).status()), ExitCode::kConfiguration);  // without facts
}

TEST(Calibrations, TextReadsBack) {
  absl::StatusOr<Calibration> c =
      LoadCalibration(ORTHANT_SOURCE_DIR "/configs/calibrations/megatron-a100.yaml");
  ASSERT_TRUE(c.ok()) << c.status().message();
  const std::string path =
      (std::filesystem::temp_directory_path() / "orthant_calibration_test.yaml").string();
  ASSERT_TRUE(WriteFileAtomically(path, CalibrationText(*c)).ok());
  const absl::StatusOr<Calibration> again = LoadCalibration(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->constants.matmul, c->constants.matmul);
  EXPECT_EQ(again->all_reduce_8.points, c->all_reduce_8.points);
  EXPECT_EQ(again->software.schedules, c->software.schedules);
}

TEST(MachineOf, TakesTheDeviceThatARowNames) {
  const std::vector<Machine> machines = {*LoadMachine("a100-mosaic", kSelf),
                                         *LoadMachine("h100-mosaic", kSelf)};
  MeasuredRow row;
  row.device = "h100_80gb";
  EXPECT_EQ(MachineOf(row, machines), &machines[1]);
  row.device = "a100_80gb";
  EXPECT_EQ(MachineOf(row, machines), nullptr);
  const std::vector<Machine> vtrain = {*LoadMachine("a100-vtrain", kSelf),
                                       *LoadMachine("a100-vtrain-node", kSelf)};
  row.device = "";
  EXPECT_EQ(MachineOf(row, vtrain), &vtrain[0]);
  row.one_node = true;
  EXPECT_EQ(MachineOf(row, vtrain), &vtrain[1]);
}

}  // namespace
}  // namespace orthant
