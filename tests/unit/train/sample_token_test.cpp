#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "ATen/ATen.h"
#include "orthant/train/generate.h"

namespace orthant {
namespace {

at::Tensor Logits(std::vector<double> probabilities) {
  return at::tensor(probabilities, at::kDouble).log();
}

TEST(SampleToken, TemperatureZeroTakesTheLikeliest) {
  const at::Tensor logits = at::tensor({0.5, -1.0, 2.0, 1.9}, at::kFloat);
  for (double u : {0.0, 0.3, 0.999999}) EXPECT_EQ(SampleToken(logits, {.temperature = 0.0}, u), 2);
  EXPECT_EQ(SampleToken(at::tensor({1.0, 3.0, 3.0}, at::kFloat), {.temperature = 0.0}, 0.9), 1)
      << "the first of equals";
}

TEST(SampleToken, FollowsTheDistributionByU) {
  const at::Tensor logits = Logits({0.1, 0.2, 0.3, 0.4});
  const SamplingOptions options{.temperature = 1.0};
  EXPECT_EQ(SampleToken(logits, options, 0.0), 0);
  EXPECT_EQ(SampleToken(logits, options, 0.0999), 0);
  EXPECT_EQ(SampleToken(logits, options, 0.1001), 1);
  EXPECT_EQ(SampleToken(logits, options, 0.2999), 1);
  EXPECT_EQ(SampleToken(logits, options, 0.3001), 2);
  EXPECT_EQ(SampleToken(logits, options, 0.6001), 3);
  EXPECT_EQ(SampleToken(logits, options, std::nextafter(1.0, 0.0)), 3);
}

TEST(SampleToken, FrequenciesAreTheProbabilities) {
  const at::Tensor logits = Logits({0.05, 0.45, 0.2, 0.3}) + 7.0;  // a shift changes nothing
  std::vector<int> counts(4);
  constexpr int kDraws = 1000;
  for (int i = 0; i < kDraws; ++i) ++counts[SampleToken(logits, {.temperature = 1.0}, (i + 0.5) / kDraws)];
  EXPECT_EQ(counts, (std::vector<int>{50, 450, 200, 300}));
}

TEST(SampleToken, TemperatureSharpensAndFlattens) {
  const at::Tensor logits = Logits({0.2, 0.8});
  const auto share = [&](double temperature) {
    int first = 0;
    for (int i = 0; i < 1000; ++i)
      first += SampleToken(logits, {.temperature = temperature}, (i + 0.5) / 1000) == 0;
    return first / 1000.0;
  };
  EXPECT_NEAR(share(0.5), 0.04 / 0.68, 2e-3);                                         // squares
  EXPECT_NEAR(share(2.0), std::sqrt(0.2) / (std::sqrt(0.2) + std::sqrt(0.8)), 2e-3);  // roots
  EXPECT_EQ(share(1e-6), 0.0);
}

TEST(SampleToken, TopKDrawsAmongTheLikeliest) {
  const at::Tensor logits = Logits({0.1, 0.4, 0.05, 0.3, 0.15});
  std::set<int64_t> seen;
  int most = 0;
  for (int i = 0; i < 700; ++i) {
    const int64_t id = SampleToken(logits, {.temperature = 1.0, .top_k = 2}, (i + 0.5) / 700);
    seen.insert(id);
    most += id == 1;
  }
  EXPECT_EQ(seen, (std::set<int64_t>{1, 3}));
  EXPECT_EQ(most, 400);  // 0.4 of 0.7
  EXPECT_EQ(SampleToken(logits, {.temperature = 1.0, .top_k = 1}, 0.99), 1);
}

TEST(SampleToken, TopKBeyondTheVocabularyIsAll) {
  const at::Tensor logits = Logits({0.1, 0.4, 0.5});
  for (double u : {0.05, 0.3, 0.8}) {
    EXPECT_EQ(SampleToken(logits, {.temperature = 1.0, .top_k = 99}, u),
              SampleToken(logits, {.temperature = 1.0}, u));
  }
}

TEST(SampleToken, NeverDrawsTheImpossible) {
  const at::Tensor logits = at::tensor({-INFINITY, 0.0f, -1e30f, 0.0f, -INFINITY}, at::kFloat);
  std::set<int64_t> seen;
  for (int i = 0; i <= 100; ++i) {
    seen.insert(SampleToken(logits, {.temperature = 1.0}, std::min(i / 100.0, std::nextafter(1.0, 0.0))));
  }
  EXPECT_EQ(seen, (std::set<int64_t>{1, 3}));
}

TEST(SampleToken, SingleAndDoublePrecisionDrawAlike) {
  const at::Tensor logits = at::tensor({0.25, -0.5, 1.5, 1.25}, at::kFloat);  // exact in both
  for (int i = 0; i < 50; ++i) {
    const double u = (i + 0.5) / 50;
    EXPECT_EQ(SampleToken(logits, {}, u), SampleToken(logits.to(at::kDouble), {}, u));
  }
}

}  // namespace
}  // namespace orthant
