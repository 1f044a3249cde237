#include "orthant/plan/search.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/plan/plan_report.h"
#include "orthant/plan/rules.h"
#include "unit/plan/plan_samples.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;
using testing::SampleMachine;
using testing::SampleWorkload;

constexpr const char* kSelf = ORTHANT_SOURCE_DIR "/build/any/orthant";

SearchRequest Request(const Workload& workload, int64_t ranks) {
  return {.machine = SampleMachine(), .workload = workload, .ranks = ranks};
}

TEST(Search, EveryLayoutIsLegalAndTheBestFit) {
  const SearchRequest request = Request(SampleWorkload(24, 2048, 16, 96), 24);
  const SearchResult result = Search(request);
  ASSERT_EQ(result.best.size(), 10u);
  EXPECT_GT(result.layouts, 1000);
  double quickest = 1e300, before = 0;
  for (const LayoutPrediction& p : result.best) quickest = std::min(quickest, p.time.step);
  EXPECT_LE(result.best.front().time.step, quickest * (1 + kSameTime));
  for (const LayoutPrediction& p : result.best) {
    const PlannedLayout& l = p.layout;
    EXPECT_EQ(l.world(), 24);
    EXPECT_EQ(96 % (l.data * l.micro_batch), 0);
    EXPECT_EQ(16 % (l.tensor * l.sequence), 0);
    EXPECT_EQ(24 % l.pipeline, 0);
    EXPECT_TRUE(p.fits);
    EXPECT_LE(p.WorstStage().total(), request.Capacity());
    if (&p == &result.best.front()) continue;  // the choice among equals
    EXPECT_GE(p.time.step, before);
    before = p.time.step;
  }
}

TEST(Search, FindsTheLayoutThatTryingAllFinds) {
  const SearchRequest request = Request(SampleWorkload(4, 1024, 4, 8), 4);
  const SearchResult result = Search(request);
  double best = 1e300;
  for (const int64_t t : {1, 2, 4})
    for (const int64_t p : {1, 2, 4})
      for (const int64_t micro : {1, 2, 4, 8}) {
        if (4 % (t * p) != 0 || 8 % (4 / (t * p) * micro) != 0) continue;
        const absl::StatusOr<LayoutPrediction> one =
            Predict(request.machine, request.workload,
                    {.data = 4 / (t * p), .tensor = t, .pipeline = p, .micro_batch = micro});
        if (one->fits) best = std::min(best, one->time.step);
      }
  EXPECT_LE(result.best.front().time.step, best * (1 + kSameTime));
}

TEST(Search, SaysWhyFamiliesAreNotChosen) {
  const SearchRequest request = Request(SampleWorkload(48, 8192, 64, 512), 64);
  const SearchResult result = Search(request);
  const std::vector<std::string> lines = Rejections(request, result);
  EXPECT_THAT(lines, ::testing::Contains(HasSubstr("tensor 16 crosses the node: ")));
  EXPECT_THAT(lines, ::testing::Contains(HasSubstr("pipeline 1: ")));
}

TEST(Search, NothingFitsSaysWhatIsNearestAndWhatItWouldTake) {
  const SearchRequest request = Request(SampleWorkload(96, 12288, 96, 64), 2);
  const SearchResult result = Search(request);
  EXPECT_TRUE(result.best.empty());
  const std::string text(WhyNothing(request, result).message());
  EXPECT_THAT(text, HasSubstr("nothing fits: of "));
  EXPECT_THAT(text, HasSubstr("nearest: data "));
  EXPECT_THAT(text, HasSubstr("it would take: devices of "));
  EXPECT_THAT(text, HasSubstr(", or --ranks "));
}

TEST(Search, NothingLegalNamesTheNearestRanksAndBatches) {
  const SearchRequest request = Request(SampleWorkload(4, 1024, 4, 8), 7);
  const SearchResult result = Search(request);
  EXPECT_EQ(result.layouts, 0);
  const std::string text(WhyNothing(request, result).message());
  EXPECT_THAT(text, HasSubstr("--ranks 7: no layout is legal"));
  EXPECT_THAT(text, HasSubstr("nearest legal: --ranks 4 or 8"));
  EXPECT_THAT(text, HasSubstr("or train.global_batch = 7 or 14"));
}

// What was published for runs of this size: tensor 8 inside the node, and a pipeline (arXiv 2104.04473,
// section 5).
TEST(Search, PlansGpt3AsItWasTrained) {
  const absl::StatusOr<Machine> selene = LoadMachine("selene", kSelf);
  ASSERT_TRUE(selene.ok()) << selene.status().message();
  const absl::StatusOr<PlanFile> file = LoadPlanFile(ORTHANT_SOURCE_DIR "/configs/models/gpt3-175b.yaml", {});
  ASSERT_TRUE(file.ok()) << file.status().message();
  SearchRequest request{
      .machine = *selene,
      .workload = {file->model, file->global_batch, file->dtype, PrecisionOfDtype(file->dtype)},
      .ranks = 1024};
  const SearchResult result = Search(request);
  ASSERT_FALSE(result.best.empty());
  EXPECT_EQ(result.best.front().layout.tensor, 8);
  EXPECT_GT(result.best.front().layout.pipeline, 1);
}

TEST(Search, KeepsWhatIsFixed) {
  SearchRequest request = Request(SampleWorkload(24, 2048, 16, 96), 16);
  const int64_t free = Search(request).layouts;
  request.fixed.tensor = request.fixed.micro_batch = 2;
  request.fixed.zero = 1;
  request.fixed.shard_ranks = 4;
  request.fixed.recompute = Recompute::kFull;
  const SearchResult result = Search(request);
  EXPECT_LT(result.layouts, free);
  ASSERT_FALSE(result.best.empty());
  for (const LayoutPrediction& p : result.best) {
    EXPECT_TRUE(request.fixed.Allow(p.layout)) << p.layout.ToString();
    EXPECT_EQ(p.layout.tensor, 2);
    EXPECT_EQ(p.layout.shard_ranks, 4) << "not the node's eight over two";
  }
  request.fixed.tensor = 3;
  request.ranks_word = "plan.ranks=";
  EXPECT_THAT(WhyNothing(request, Search(request)).message(), HasSubstr("plan.ranks=16: no layout is legal"));
}

// GPipe and 1F1B take as long by this model, and 1F1B holds fewer microbatches.
TEST(Search, OfLayoutsAlikeInTimeTakesTheSmaller) {
  SearchRequest request = Request(SampleWorkload(24, 2048, 16, 96), 8);
  request.fixed.pipeline = 4;
  const SearchResult result = Search(request);
  ASSERT_FALSE(result.best.empty());
  EXPECT_EQ(result.best.front().layout.schedule, PlanSchedule::kOneFOneB);
}

TEST(Search, OffloadsWithoutReplicas) {
  SearchRequest request = Request(SampleWorkload(32, 6144, 32, 8), 4);
  request.fixed.tensor = 4;
  request.machine.memory_bytes = 60e9;
  const SearchResult result = Search(request);
  ASSERT_FALSE(result.best.empty());
  EXPECT_NE(result.best.front().layout.offload, Offload::kNone);
  for (const LayoutPrediction& p : result.best)
    EXPECT_TRUE(p.layout.zero == 0 || p.layout.offload != Offload::kNone) << p.layout.ToString();
}

TEST(Search, KeepsWhatHasNoEffect) {
  const SearchRequest plain = Request(SampleWorkload(24, 2048, 16, 96), 1);
  SearchRequest request = plain;
  request.fixed.tensor_sequence = true;
  request.fixed.shard_ranks = 4;
  request.fixed.zero = 0;
  EXPECT_GT(Search(request).layouts, 0);
  request = plain;
  request.ranks = 4;
  request.fixed.tensor = 4;
  request.fixed.zero = 1;
  EXPECT_GT(Search(request).layouts, 0) << "one replica";
}

TEST(Search, AdviceStaysWithinTheMachine) {
  SearchRequest request = Request(SampleWorkload(96, 12288, 96, 64), 8);
  request.machine.network_bandwidth = 0;
  EXPECT_THAT(std::string(WhyNothing(request, Search(request)).message()),
              ::testing::Not(HasSubstr("--ranks ")));
  request = Request(SampleWorkload(4, 1024, 4, 8), 7);
  request.machine.network_bandwidth = 0;
  request.machine.node_ranks = 7;
  const std::string text(WhyNothing(request, Search(request)).message());
  EXPECT_THAT(text, HasSubstr("nearest legal: --ranks 4"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("or 8")));
}

TEST(Search, SaysByHowMuchALimitIsTooSmall) {
  SearchRequest request = Request(SampleWorkload(4, 1024, 4, 8), 1);
  request.limit = 64 << 10;
  request.machine.memory_bytes = 64 << 10;
  request.machine.calibration.software.reserve = 0;
  EXPECT_THAT(std::string(WhyNothing(request, Search(request)).message()),
              HasSubstr("it would take: memory.limit = "));
}

TEST(Rules, SpeakOfTheCaseAtHand) {
  const auto rules = [](const Workload& workload, int64_t ranks) {
    const SearchRequest request = Request(workload, ranks);
    return ApplyRules(request, Search(request));
  };
  EXPECT_THAT(rules(SampleWorkload(4, 1024, 4, 8), 1)[0].rule, HasSubstr("normal use"));
  EXPECT_TRUE(rules(SampleWorkload(4, 1024, 4, 8), 1)[0].agrees);
  const RuleVerdict offload = rules(SampleWorkload(32, 4096, 32, 8), 1)[0];
  EXPECT_THAT(offload.rule, HasSubstr("ZeRO with offload"));
  EXPECT_TRUE(offload.agrees) << offload.because;
  EXPECT_THAT(rules(SampleWorkload(4, 1024, 4, 8), 8)[0].rule, HasSubstr("data parallel, or ZeRO"));
  EXPECT_EQ(rules(SampleWorkload(48, 8192, 64, 512), 64).back().rule,
            "tensor stays within the node: at most 8");
}

TEST(Report, TellsTheSameInWordsAndInJson) {
  PlanReport report;
  report.request = Request(SampleWorkload(24, 2048, 16, 96), 24);
  report.result = Search(report.request);
  report.rejections = Rejections(report.request, report.result);
  const std::string text = PlanText(report, TableStyle::kPlain);
  EXPECT_THAT(text, HasSubstr("the first: " + report.result.best.front().layout.ToString()));
  const nlohmann::ordered_json json = PlanJson(report);
  EXPECT_EQ(json["best"].size(), 10u);
  EXPECT_EQ(json["layouts"], report.result.layouts);
  EXPECT_EQ(json["best"][0]["layout"]["tensor"], report.result.best.front().layout.tensor);
  EXPECT_THAT(
      LayoutYaml({.data = 2, .zero = 3, .recompute = Recompute::kFull, .offload = Offload::kAll}, "why"),
      HasSubstr("offload: {optimizer: host, parameters: host}"));
}

}  // namespace
}  // namespace orthant
