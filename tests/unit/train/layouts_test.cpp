// Which meshes `orthant verify` tries.
#include "orthant/train/layouts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/config/config.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/train/validate.h"

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

std::vector<std::string> Texts(const std::vector<Layout>& all) {
  std::vector<std::string> texts;
  for (const Layout& layout : all) texts.push_back(Text(layout.parallel));
  return texts;
}

bool Has(const std::vector<std::string>& texts, const std::string& text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

TEST(LegalLayouts, AreLegalAndOfTheRightSize) {
  RunConfig config = VerifyFile();
  int64_t before = 0;
  for (const Layout& layout : LegalLayouts(config, 16)) {
    const ParallelConfig& parallel = layout.parallel;
    const int64_t world = parallel.degrees().world();
    EXPECT_GE(world, 2) << Text(parallel);
    EXPECT_LE(world, 16) << Text(parallel);
    EXPECT_GE(world, before) << "by rank count";
    before = world;
    EXPECT_TRUE(ValidateRun(With(config, layout), nullptr).ok()) << Text(parallel);
    EXPECT_TRUE(MakeMesh(parallel, world).ok()) << Text(parallel);
  }
}

TEST(LegalLayouts, ComeOnce) {
  const std::vector<std::string> texts = Texts(LegalLayouts(VerifyFile(), 16));
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), texts.size());
}

TEST(LegalLayouts, OfTheShippedFileAreManyAndOfEveryKind) {
  const std::vector<std::string> texts = Texts(LegalLayouts(VerifyFile(), 16));
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

TEST(LegalLayouts, LeaveOutWhatWouldChangeNothing) {
  for (const Layout& layout : LegalLayouts(VerifyFile(), 16)) {
    const ParallelConfig& p = layout.parallel;
    EXPECT_TRUE(p.zero == 0 || p.data * p.sequence > 1) << Text(p);
    EXPECT_TRUE(!p.tensor_sequence || p.tensor > 1) << Text(p);
  }
}

TEST(LegalLayouts, HoldToTheLimitOfRanks) {
  const std::vector<Layout> four = LegalLayouts(VerifyFile(), 4);
  const std::vector<std::string> sixteen = Texts(LegalLayouts(VerifyFile(), 16));
  ASSERT_FALSE(four.empty());
  for (const Layout& layout : four) {
    const ParallelConfig& p = layout.parallel;
    EXPECT_LE(p.degrees().world(), 4);
    EXPECT_TRUE(Has(sixteen, Text(p))) << Text(p);
  }
  EXPECT_TRUE(LegalLayouts(VerifyFile(), 1).empty());
}

TEST(LegalLayouts, KeepTheUsersStagesAndOrder) {
  const RunConfig config = VerifyFile(
      {"parallel.pipeline=2", "parallel.stages=[4,1]", "parallel.order=[tensor,data,sequence,pipeline]"});
  int64_t with_stages = 0;
  for (const Layout& layout : LegalLayouts(config, 8)) {
    const ParallelConfig& p = layout.parallel;
    EXPECT_EQ(p.order, config.parallel.order);
    const std::vector<int64_t> stages = p.pipeline == 2 ? config.parallel.stages : std::vector<int64_t>{};
    EXPECT_EQ(p.stages, stages) << Text(p);
    with_stages += p.stages.empty() ? 0 : 1;
  }
  EXPECT_GT(with_stages, 0);
}

TEST(LegalLayouts, FollowTheModel) {
  RunConfig config = VerifyFile();
  config.model.heads = 1;   // nothing to split over tensor or Ulysses
  config.model.layers = 1;  // nor over stages
  config.train.global_batch = 3;
  EXPECT_EQ(Texts(LegalLayouts(config, 16)).size(), 4u);  // data 3, ZeRO 0 to 3
  config.train.global_batch = 1;
  EXPECT_TRUE(LegalLayouts(config, 16).empty());
}

TEST(LegalLayouts, CarryEveryExtraAtEveryStageThatKnowsIt) {
  std::map<std::string, std::set<int>> stages;
  int64_t plain = 0, all = 0;
  for (const Layout& layout : LegalLayouts(VerifyFile(), 16)) {
    const std::vector<std::string> extras = Extras(layout);
    plain += extras.empty() ? 1 : 0;
    ++all;
    for (const std::string& extra : extras) stages[extra].insert(layout.parallel.zero);
  }
  EXPECT_GT(plain, all / 5);
  EXPECT_LT(plain, all / 2);
  const std::set<int> every = {0, 1, 2, 3}, sharded = {1, 2, 3}, three = {3};
  for (const char* extra : {"memory.recompute=full", "memory.recompute=selective", "memory.recompute_every=2",
                            "zero.bucket_bytes=4096", "zero.prefetch_bytes=0"}) {
    EXPECT_EQ(stages[extra], every) << extra;
  }
  for (const char* extra : {"zero.offload.optimizer=host", "zero.offload.optimizer=nvme",
                            "zero.shard_ranks=1", "zero.shard_ranks=2"}) {
    EXPECT_EQ(stages[extra], sharded) << extra;
  }
  for (const char* extra :
       {"zero.offload.parameters=host", "zero.offload.parameters=nvme", "zero.release_after_forward=false"}) {
    EXPECT_EQ(stages[extra], three) << extra;
  }
}

TEST(Sample, IsSpreadOrDrawnAndKeepsTheOrder) {
  const std::vector<Layout> all = LegalLayouts(VerifyFile(), 16);
  const std::vector<std::string> texts = Texts(all);
  EXPECT_EQ(Sample(all, 0, 0).size(), all.size());
  const std::vector<std::string> spread = Texts(Sample(all, 5, 0));
  EXPECT_EQ(spread.front(), texts.front());
  EXPECT_EQ(spread.back(), texts.back());
  const std::vector<std::string> drawn = Texts(Sample(all, 40, 7));
  EXPECT_EQ(std::set<std::string>(drawn.begin(), drawn.end()).size(), 40u);
  EXPECT_EQ(drawn, Texts(Sample(all, 40, 7)));
  EXPECT_NE(drawn, Texts(Sample(all, 40, 8)));
  size_t at = 0;
  for (const std::string& text : texts) at += at < drawn.size() && drawn[at] == text ? 1 : 0;
  EXPECT_EQ(at, drawn.size());
}

}  // namespace
}  // namespace orthant
