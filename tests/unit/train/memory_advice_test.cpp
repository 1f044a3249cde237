#include "orthant/train/memory_advice.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocab = 512;
constexpr int64_t kMiB = int64_t{1} << 20;

RunConfig FourRanks() {
  RunConfig c;
  c.model = {.layers = 8, .heads = 8, .hidden = 256, .context = 256};
  c.parallel.data = 4;
  c.train.global_batch = 8;
  c.train.micro_batch = 2;
  return c;
}

TEST(MemoryEstimate, StatesFollowTheStage) {
  RunConfig c = FourRanks();
  int64_t before = 0;
  for (int zero = 0; zero <= 3; ++zero) {
    c.parallel.zero = zero;
    const MemoryEstimate estimate = EstimateMemory(c, kVocab);
    const TagBytes& held = estimate.worst().steady;
    int64_t elements = 0;
    for (const UnitEstimate& unit : estimate.worst().units) elements += unit.elements;
    EXPECT_EQ(held[static_cast<size_t>(MemoryTag::kParameters)], elements * 4 / (zero == 3 ? 4 : 1));
    EXPECT_EQ(held[static_cast<size_t>(MemoryTag::kGradients)], elements * 4 / (zero >= 2 ? 4 : 1));
    EXPECT_EQ(held[static_cast<size_t>(MemoryTag::kOptimizer)], elements * 8 / (zero >= 1 ? 4 : 1));
    if (zero > 0) {
      EXPECT_LT(DeviceBytes(held), before);
    }
    before = DeviceBytes(held);
  }
}

TEST(MemoryEstimate, SchedulesHoldTheirMicrobatches) {
  RunConfig c = FourRanks();
  c.parallel.data = 1;
  c.parallel.pipeline = 2;
  c.parallel.stages = {4, 4};
  c.train.global_batch = 32;
  const auto activations = [&](const char* schedule) {
    c.parallel.schedule = schedule;
    return EstimateMemory(c, kVocab).stages[0].peak.tags[static_cast<size_t>(MemoryTag::kActivations)];
  };
  // 16 microbatches against min(16, 2 - 0) of 1F1B.
  EXPECT_NEAR(static_cast<double>(activations("gpipe")) / static_cast<double>(activations("1f1b")), 8.0, 1.0);
}

TEST(MemoryAdvice, ComesLargestFirstAndOncePerKey) {
  RunConfig c = FourRanks();
  const int64_t now = EstimateMemory(c, kVocab).peak_bytes();
  const std::vector<MemoryAdvice> all = AdviseMemory(c, kVocab, 100);
  ASSERT_GE(all.size(), 4u);
  std::set<std::string> keys;
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].saves, now - all[i].peak);
    EXPECT_GT(all[i].saves, 0);
    EXPECT_TRUE(keys.insert(all[i].settings.back().first).second) << all[i].Overrides();
    if (i > 0 && all[i].note.empty()) {
      EXPECT_LE(all[i].saves, all[i - 1].saves);
    }
  }
  EXPECT_EQ(all.back().Overrides(), "train.dtype=bf16");  // it changes numbers
  EXPECT_EQ(AdviseMemory(c, kVocab).size(), 3u);
}

TEST(MemoryAdvice, WhatIsSetIsNotProposed) {
  RunConfig c = FourRanks();
  c.parallel.zero = 3;
  c.memory.recompute = "full";
  c.zero.prefetch_bytes = 0;
  c.train.dtype = "bf16";
  for (const MemoryAdvice& a : AdviseMemory(c, kVocab, 100)) {
    EXPECT_THAT(
        (std::vector<std::string>{"parallel.zero", "memory.recompute", "zero.prefetch_bytes", "train.dtype"}),
        ::testing::Not(::testing::Contains(a.settings.back().first)))
        << a.Overrides();
  }
}

TEST(MemoryAdvice, SeveralChangesWhereNoneIsEnough) {
  RunConfig c = FourRanks();
  c.memory.limit = 60 * kMiB;
  const std::string text = AdviceText(c, kVocab);
  EXPECT_THAT(text, HasSubstr("still above memory.limit"));
  EXPECT_THAT(text, HasSubstr("none is enough alone; together"));
}

TEST(MemoryAdvice, TheEndOfARunTellsAccountAndAdvice) {
  RunConfig c = FourRanks();
  c.memory.limit = 120 * kMiB;
  const OutOfMemory error("out of memory: the account", 1, {});
  const absl::Status status = OutOfMemoryStatus(error, c, kVocab);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(status.message()), HasSubstr("out of memory: the account"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("=full"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(": fits"));
}

TEST(MemoryLimit, TooSmallForOneUnitSaysWhatWouldDo) {
  RunConfig c = FourRanks();
  c.parallel.zero = 3;
  c.memory.limit = 26 * kMiB;  // shards are 24.8 MiB, a block with its gradient 6
  const absl::Status status =
      CheckMemoryLimit(c, kVocab, [](const std::string& key) { return "run.yaml:7"; });
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("run.yaml:7: memory.limit = 26.0 MiB is too small"));
  EXPECT_THAT(message, HasSubstr("the values and the gradient of the unit h.0 whole"));
  EXPECT_THAT(message, HasSubstr("nearest legal: "));
  c.memory.limit = EstimateMemory(c, kVocab).peak_bytes();
  EXPECT_TRUE(CheckMemoryLimit(c, kVocab, nullptr).ok());
  c.memory.limit = 0;
  EXPECT_TRUE(CheckMemoryLimit(c, kVocab, nullptr).ok());
}

TEST(MemoryLimit, ATileHoldsARow) {
  RunConfig c = FourRanks();
  c.zero.tile_bytes = 4095;
  const absl::Status status = CheckMemoryLimit(c, kVocab, nullptr);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()), HasSubstr("mlp.c_proj.weight"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("nearest legal: 4096"));
  c.zero.tile_bytes = 4096;
  EXPECT_TRUE(CheckMemoryLimit(c, kVocab, nullptr).ok());
}

}  // namespace
}  // namespace orthant
