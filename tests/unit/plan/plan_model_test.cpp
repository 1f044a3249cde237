#include "orthant/plan/plan_model.h"

#include "gtest/gtest.h"

namespace orthant {
namespace {

constexpr const char* kModels = ORTHANT_SOURCE_DIR "/configs/models/";

PlanModel Read(const std::string& name) {
  const absl::StatusOr<PlanFile> file = LoadPlanFile(kModels + name + ".yaml", {});
  EXPECT_TRUE(file.ok()) << file.status().message();
  return file.ok() ? file->model : PlanModel();
}

TEST(PlanModel, CountsThePublishedParameters) {
  EXPECT_EQ(Read("llama2-7b").Parameters(), 6738415616);    // of the released checkpoint
  EXPECT_EQ(Read("llama2-70b").Parameters(), 68976648192);  // the same
  EXPECT_EQ(Read("llama3-8b").Parameters(), 8030261248);    // the same
  EXPECT_EQ(Read("gpt2-1.5b").Parameters(), 1557611200);    // gpt2-xl on Hugging Face
  EXPECT_NEAR(static_cast<double>(Read("gpt3-175b").Parameters()), 175e9, 0.01 * 175e9);
}

TEST(PlanModel, FlopsAreSixAMatrixElementAndCausalAttention) {
  PlanModel m{.layers = 2, .heads = 4, .hidden = 64, .context = 32, .vocab = 100};
  EXPECT_DOUBLE_EQ(m.FlopsPerToken(), 6.0 * (2 * 12 * 64 * 64 + 100 * 64) + 6.0 * 2 * 64 * 32);
  m.family = "llama";
  m.kv_heads = 1;
  m.ffn = 96;
  EXPECT_EQ(m.BlockMatrix(), 64 * (64 + 32) + 64 * 64 + 3 * 64 * 96);
}

TEST(PlanModel, WrongShapesSayWhatWouldBeRight) {
  PlanModel m{.heads = 5, .hidden = 128, .vocab = 10};
  EXPECT_EQ(CheckPlanModel(m).message(),
            "model.heads = 5 must divide model.hidden = 128; nearest legal: 4 or 8");
  m.heads = 8;
  m.kv_heads = 3;
  EXPECT_EQ(CheckPlanModel(m).message(),
            "model.kv_heads = 3 must divide model.heads = 8; nearest legal: 2 or 4");
}

}  // namespace
}  // namespace orthant
