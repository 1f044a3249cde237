// Medians over steps and ranks, and what is said of them.
#include "orthant/bench/step_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/strip.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;

StepSample SampleOf(double seconds, double exposed_tensor) {
  StepSample sample;
  sample.seconds = seconds;
  sample.parts = {0.01 * seconds, 0.3 * seconds,  0.5 * seconds,
                  0.02 * seconds, 0.05 * seconds, 0.1 * seconds};
  sample.exposed[1] = exposed_tensor;
  sample.hidden[1] = 0.25;
  sample.sent_bytes = {0, 4096, 0, 0};
  return sample;
}

// Two ranks, three steps; rank 1 is slower in steps 1 and 3.
std::vector<std::vector<StepSample>> TwoRanks() {
  return {{SampleOf(1.0, 0.1), SampleOf(4.0, 0.1), SampleOf(1.2, 0.1)},
          {SampleOf(1.1, 0.3), SampleOf(3.9, 0.3), SampleOf(2.0, 0.3)}};
}

TEST(Summarize, AStepLastsAsLongAsItsSlowestRank) {
  const StepReport report = Summarize(TwoRanks());
  EXPECT_EQ(report.steps, 3);
  EXPECT_DOUBLE_EQ(report.median, 2.0);  // of 1.1, 4.0, 2.0
  EXPECT_DOUBLE_EQ(report.min, 1.1);
  EXPECT_DOUBLE_EQ(report.max, 4.0);
  EXPECT_DOUBLE_EQ(report.lower_quartile, 1.55);
  EXPECT_DOUBLE_EQ(report.upper_quartile, 3.0);
}

TEST(Summarize, EachRankStandsForItsMedianStep) {
  const StepReport report = Summarize(TwoRanks());
  EXPECT_DOUBLE_EQ(report.step.median, 1.6);  // of 1.2 and 2.0
  EXPECT_DOUBLE_EQ(report.step.slowest, 2.0);
  EXPECT_EQ(report.step.slowest_rank, 1);
  EXPECT_DOUBLE_EQ(report.parts[static_cast<size_t>(StepPart::kBackward)].slowest, 1.0);
  EXPECT_NEAR(report.other.median, 0.02 * 1.6, 1e-12);
  EXPECT_DOUBLE_EQ(report.exposed[1].median, 0.2);
  EXPECT_DOUBLE_EQ(report.exposed[1].slowest, 0.3);
  EXPECT_DOUBLE_EQ(report.hidden[1].median, 0.25);
  EXPECT_DOUBLE_EQ(report.computing.slowest, 1.7);  // rank 1: the median of 0.8, 3.6, 1.7
  EXPECT_EQ(report.sent_bytes[1], 4096);
  EXPECT_EQ(report.exposed[0].slowest, 0);
}

TEST(Summarize, OneRankOneStep) {
  const StepReport report = Summarize({{SampleOf(1.0, 0.0)}});
  EXPECT_EQ(report.median, 1.0);
  EXPECT_EQ(report.lower_quartile, 1.0);
  EXPECT_EQ(report.step.slowest_rank, 0);
}

StepBenchResult Result() {
  StepBenchResult result;
  result.report = Summarize(TwoRanks());
  StepBenchFacts& facts = result.facts;
  facts.run = "tiny";
  facts.backend = "local";
  facts.dtype = "fp32";
  facts.schedule = "1f1b";
  facts.peak_source = "from log.peak_tflops";
  facts.mesh = {.tensor = 2};
  facts.tokens = 1000;
  facts.flops_per_token = 6e6;
  facts.peak_flops = 1e10;
  return result;
}

TEST(StepBenchResult, RatesFollowFromTheMedianStep) {
  const StepBenchResult result = Result();
  EXPECT_DOUBLE_EQ(result.TokensPerSecond(), 500);
  EXPECT_DOUBLE_EQ(result.FlopsPerRank(), 1.5e9);
  EXPECT_DOUBLE_EQ(result.Mfu(), 0.15);
}

TEST(StepBenchResult, TextShowsPartsAndAxes) {
  const std::string text = ToText(Result(), false);
  for (const char* wanted :
       {"step       2000.000 ms median of 3, 1100.000 to 4000.000", "500 tokens/s", "mfu 15.0%", "forward",
        "reduction", "exposed ms", "tensor", "4.1 kB", "rank 1"}) {
    EXPECT_THAT(text, HasSubstr(wanted));
  }
  EXPECT_THAT(text, ::testing::Not(HasSubstr("sequence  "))) << "an axis that waits for nothing has no row";
}

TEST(StepBenchResult, JsonHoldsEveryPartAndAxis) {
  const auto json = ToJson(Result());
  EXPECT_EQ(json["parts"].size(), static_cast<size_t>(kStepParts) + 1);
  EXPECT_EQ(json["parts"][1]["part"], "forward");
  EXPECT_EQ(json["axes"].size(), static_cast<size_t>(kAxisCount));
  EXPECT_EQ(json["axes"][1]["axis"], "tensor");
  EXPECT_EQ(json["axes"][1]["sent_bytes"], 4096);
  EXPECT_DOUBLE_EQ(json["axes"][1]["exposed"]["slowest_over_median"].get<double>(), 1.5);
  EXPECT_TRUE(json["axes"][0]["exposed"]["slowest_over_median"].is_null());
  EXPECT_EQ(json["step"]["median_seconds"], 2.0);
  EXPECT_EQ(json["ranks"], 2);
}

TEST(StepBenchResult, ResultLineIsOneLineOfJson) {
  const std::string line = ResultLine(Result());
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  const auto json = nlohmann::json::parse(absl::StripPrefix(line, "RESULT "));
  EXPECT_EQ(json["med_ms"], 2000.0);
  EXPECT_EQ(json["tok_s"], 500.0);
  EXPECT_EQ(json["gflops"], 3.0);
  EXPECT_EQ(json["tp"], 2);
}

}  // namespace
}  // namespace orthant
