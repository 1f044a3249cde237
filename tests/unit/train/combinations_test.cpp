// Which meshes `orthant verify` tries.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/config/config.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/train/verify.h"

namespace orthant {
namespace {

RunConfig VerifyFile(const std::vector<std::string>& overrides = {}) {
  RunConfig config;
  const auto loaded = LoadConfig(std::string(ORTHANT_SOURCE_DIR) + "/configs/verify.yaml", overrides,
                                 [&](Fields& fields) { Describe(fields, config); });
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  return config;
}

std::string Text(const ParallelConfig& p) {
  return absl::StrCat("d", p.data, " t", p.tensor, " p", p.pipeline, " s", p.sequence, " zero", p.zero, " ",
                      p.schedule, p.tensor_sequence ? " ts" : "",
                      p.stages.empty() ? "" : " " + absl::StrJoin(p.stages, "-"));
}

std::vector<std::string> Texts(const std::vector<ParallelConfig>& all) {
  std::vector<std::string> texts;
  for (const ParallelConfig& p : all) texts.push_back(Text(p));
  return texts;
}

bool Has(const std::vector<std::string>& texts, const std::string& text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

TEST(LegalCombinations, AreLegalAndOfTheRightSize) {
  RunConfig config = VerifyFile();
  int64_t before = 0;
  for (const ParallelConfig& parallel : LegalCombinations(config, 16)) {
    const int64_t world = parallel.degrees().world();
    EXPECT_GE(world, 2) << Text(parallel);
    EXPECT_LE(world, 16) << Text(parallel);
    EXPECT_GE(world, before) << "by rank count";
    before = world;
    config.parallel = parallel;
    EXPECT_TRUE(ValidateRun(config, nullptr).ok()) << Text(parallel);
    EXPECT_TRUE(MakeMesh(parallel, world).ok()) << Text(parallel);
  }
}

TEST(LegalCombinations, ComeOnce) {
  const std::vector<std::string> texts = Texts(LegalCombinations(VerifyFile(), 16));
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), texts.size());
}

TEST(LegalCombinations, OfTheShippedFileAreManyAndOfEveryKind) {
  const std::vector<std::string> texts = Texts(LegalCombinations(VerifyFile(), 16));
  EXPECT_GE(texts.size(), 60u);
  // With one stage all schedules are one and the first name stands for it.
  const std::string any = ScheduleNames().front();
  for (const std::string& expected :
       {"d2 t1 p1 s1 zero0 " + any, "d2 t1 p1 s1 zero1 " + any, "d1 t2 p1 s1 zero0 " + any,
        "d1 t2 p1 s1 zero0 " + any + " ts", "d1 t1 p1 s2 zero1 " + any, "d16 t1 p1 s1 zero1 " + any,
        std::string("d1 t1 p2 s1 zero0 gpipe"), std::string("d1 t1 p2 s1 zero0 1f1b"),
        std::string("d1 t1 p5 s1 zero0 1f1b"), std::string("d2 t2 p2 s2 zero0 1f1b"),
        std::string("d2 t2 p2 s2 zero1 1f1b ts"), std::string("d1 t8 p2 s1 zero0 gpipe")}) {
    EXPECT_TRUE(Has(texts, expected)) << expected;
  }
}

TEST(LegalCombinations, LeaveOutWhatWouldChangeNothing) {
  for (const ParallelConfig& p : LegalCombinations(VerifyFile(), 16)) {
    EXPECT_TRUE(p.zero == 0 || p.data * p.sequence > 1) << Text(p);
    EXPECT_TRUE(!p.tensor_sequence || p.tensor > 1) << Text(p);
  }
}

TEST(LegalCombinations, HoldToTheLimitOfRanks) {
  const std::vector<ParallelConfig> four = LegalCombinations(VerifyFile(), 4);
  const std::vector<std::string> sixteen = Texts(LegalCombinations(VerifyFile(), 16));
  ASSERT_FALSE(four.empty());
  for (const ParallelConfig& p : four) {
    EXPECT_LE(p.degrees().world(), 4);
    EXPECT_TRUE(Has(sixteen, Text(p))) << Text(p);
  }
  EXPECT_TRUE(LegalCombinations(VerifyFile(), 1).empty());
}

TEST(LegalCombinations, KeepTheUsersStagesAndOrder) {
  const RunConfig config = VerifyFile(
      {"parallel.pipeline=2", "parallel.stages=[4,1]", "parallel.order=[tensor,data,sequence,pipeline]"});
  int64_t with_stages = 0;
  for (const ParallelConfig& p : LegalCombinations(config, 8)) {
    EXPECT_EQ(p.order, config.parallel.order);
    const std::vector<int64_t> stages = p.pipeline == 2 ? config.parallel.stages : std::vector<int64_t>{};
    EXPECT_EQ(p.stages, stages) << Text(p);
    with_stages += p.stages.empty() ? 0 : 1;
  }
  EXPECT_GT(with_stages, 0);
}

TEST(LegalCombinations, FollowTheModel) {
  RunConfig config = VerifyFile();
  config.model.heads = 1;   // nothing to split over tensor or Ulysses
  config.model.layers = 1;  // nor over stages
  config.train.global_batch = 3;
  EXPECT_EQ(Texts(LegalCombinations(config, 16)).size(), 2u);  // data 3, ZeRO 0 and 1
  config.train.global_batch = 1;
  EXPECT_TRUE(LegalCombinations(config, 16).empty());
}

}  // namespace
}  // namespace orthant
