// The sample order: a permutation each epoch, the same for everybody, unlike for unlike seeds.
#include "orthant/data/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "orthant/core/status.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;

std::vector<int64_t> Epoch(uint64_t seed, int64_t samples, int64_t epoch) {
  const SampleOrder order(seed, samples);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < samples; ++i) ids.push_back(order.SampleAt(epoch * samples + i));
  return ids;
}

// Every number of [0, ids.size()) exactly once.
bool IsPermutation(const std::vector<int64_t>& ids) {
  std::vector<bool> seen(ids.size(), false);
  for (const int64_t id : ids) {
    if (id < 0 || id >= static_cast<int64_t>(ids.size()) || seen[id]) return false;
    seen[id] = true;
  }
  return true;
}

TEST(SampleOrder, IsAPermutationForEverySizeUpTo2000) {
  for (int64_t n = 1; n <= 2000; ++n) ASSERT_TRUE(IsPermutation(Epoch(1337, n, n % 3))) << n;
}

TEST(SampleOrder, IsAPermutationForLargeSizes) {
  for (const int64_t n : {65535, 65536, 65537, 250001, 1000000}) {
    EXPECT_TRUE(IsPermutation(Epoch(7, n, 1))) << n;
  }
}

TEST(SampleOrder, StaysInRangeForHugeSizes) {
  const int64_t n = int64_t{3} << 60;
  const SampleOrder order(7, n);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 2000; ++i) {
    const int64_t sample = order.SampleAt(i);
    EXPECT_TRUE(sample >= 0 && sample < n);
    EXPECT_TRUE(seen.insert(sample).second);
  }
}

TEST(SampleOrder, DiffersByEpochAndSeedAndIsTheSameAgain) {
  const std::vector<int64_t> first = Epoch(1, 1000, 0);
  EXPECT_EQ(first, Epoch(1, 1000, 0));
  for (const std::vector<int64_t>& other : {Epoch(1, 1000, 1), Epoch(2, 1000, 0)}) {
    int same = 0;
    for (size_t i = 0; i < first.size(); ++i) same += first[i] == other[i];
    EXPECT_LT(same, 10);  // one is expected by chance
  }
}

// The order is stored nowhere: these numbers must never change, or no run could be resumed or reproduced.
TEST(SampleOrder, IsFixedForEver) {
  const SampleOrder order(1337, 15685);
  std::vector<int64_t> ids;
  for (const int64_t i : {0, 1, 2, 15684, 15685, 1000000}) ids.push_back(order.SampleAt(i));
  EXPECT_THAT(ids, ::testing::ElementsAre(9384, 12838, 1695, 9065, 14369, 8826));
}

// Over many seeds each id is as likely at a given position as any other: chi squared, 5 sigma.
TEST(SampleOrder, IsUniformOverSeeds) {
  constexpr int kSeeds = 20000;
  for (const int64_t n : {2, 3, 5, 10, 37}) {
    for (const int64_t position : {int64_t{0}, n - 1}) {
      std::vector<double> count(n, 0.0);
      for (int seed = 0; seed < kSeeds; ++seed) ++count[SampleOrder(seed, n).SampleAt(position)];
      const double expected = static_cast<double>(kSeeds) / n;
      double chi2 = 0;
      for (const double c : count) chi2 += (c - expected) * (c - expected) / expected;
      const double freedom = static_cast<double>(n - 1);
      EXPECT_LT(chi2, freedom + 5 * std::sqrt(2 * freedom) + 5) << "n=" << n << " position=" << position;
    }
  }
}

// Neighbours in the order are not neighbours in the file: the serial correlation is noise.
TEST(SampleOrder, HasNoSerialCorrelation) {
  const std::vector<int64_t> ids = Epoch(3, 100000, 0);
  const double mean = (100000 - 1) / 2.0;
  double covariance = 0, variance = 0;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    covariance += (ids[i] - mean) * (ids[i + 1] - mean);
    variance += (ids[i] - mean) * (ids[i] - mean);
  }
  EXPECT_LT(std::abs(covariance / variance), 5 / std::sqrt(100000.0));
}

TEST(SamplesIn, CountsWindowsThatShareOneToken) {
  EXPECT_EQ(*SamplesIn(65, 64, "x"), 1);
  EXPECT_EQ(*SamplesIn(128, 64, "x"), 1);
  EXPECT_EQ(*SamplesIn(129, 64, "x"), 2);
  EXPECT_EQ(*SamplesIn(1003854, 64, "x"), 15685);
}

TEST(SamplesIn, SequenceLongerThanTheDataIsNamedWithTheLargestLegalOne) {
  const absl::Status status = SamplesIn(64, 64, "train.bin").status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(status.message(),
              HasSubstr("model.context=64 needs samples of 65 tokens, and train.bin holds 64"));
  EXPECT_THAT(status.message(), HasSubstr("model.context=63"));
}

TEST(TrainingSequence, FirstEpochCoversTheFileWithoutPhase) {
  const auto sequence = TrainingSequence::Create(5, 1003, 10, "x");
  ASSERT_TRUE(sequence.ok());
  ASSERT_EQ(sequence->samples(), 100);
  for (int64_t i = 0; i < 100; ++i) {
    const SampleRef ref = sequence->At(i);
    EXPECT_EQ(ref.offset, ref.sample * 10);
  }
}

TEST(TrainingSequence, LaterEpochsShiftEveryWindowAlikeAndNeverLeaveTheFile) {
  constexpr int64_t kTokens = 1003, kContext = 10;
  const auto sequence = TrainingSequence::Create(5, kTokens, kContext, "x");
  ASSERT_TRUE(sequence.ok());
  std::set<int64_t> phases;
  for (int64_t epoch = 1; epoch < 200; ++epoch) {
    std::set<int64_t> ids, in_epoch;
    for (int64_t i = 0; i < 100; ++i) {
      const SampleRef ref = sequence->At(epoch * 100 + i);
      ids.insert(ref.sample);
      EXPECT_GE(ref.offset, 0);
      EXPECT_LE(ref.offset + kContext + 1, kTokens);
      if (ref.sample != 99) in_epoch.insert(ref.offset - ref.sample * kContext);
    }
    EXPECT_EQ(ids.size(), 100u);
    ASSERT_EQ(in_epoch.size(), 1u);
    phases.insert(*in_epoch.begin());
  }
  EXPECT_EQ(phases.size(), 10u);  // every phase comes up in 199 epochs
  EXPECT_EQ(*phases.rbegin(), kContext - 1);
}

TEST(ValidationSequence, SpreadsEvenlyAndBeginsAgain) {
  const auto sequence = ValidationSequence::Create(1001, 10, 4, "x");
  ASSERT_TRUE(sequence.ok());
  EXPECT_FALSE(sequence->repeats());
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(sequence->At(i).sample, 25 * (i % 4));
    EXPECT_EQ(sequence->At(i).offset, 250 * (i % 4));
  }
}

TEST(ValidationSequence, LargerThanTheDataRepeatsAndSaysSo) {
  const auto sequence = ValidationSequence::Create(31, 10, 6, "x");
  ASSERT_TRUE(sequence.ok());
  EXPECT_TRUE(sequence->repeats());
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 6; ++i) ids.push_back(sequence->At(i).sample);
  EXPECT_THAT(ids, ::testing::ElementsAre(0, 0, 1, 1, 2, 2));
  EXPECT_FALSE(ValidationSequence::Create(31, 10, 0, "x").ok());
}

}  // namespace
}  // namespace orthant
