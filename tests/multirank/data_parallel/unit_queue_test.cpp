// Which units are gathered ahead, and how many whole gradients are alive at once.
#include "orthant/data_parallel/unit_queue.h"

#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/memory/account.h"
#include "support/ranks.h"

namespace orthant {
namespace {

constexpr int64_t kElements = 1024, kBytes = kElements * 4;

struct Stage3 {
  Stage3(Communicator& world, int64_t prefetch_bytes, int count) : queue(prefetch_bytes) {
    UnitOptions options{.zero_stage = 3, .shard = &world, .queue = &queue};
    for (int i = 0; i < count; ++i) {
      units.push_back(std::make_unique<ShardedUnit>(
          "u", std::vector<ParameterSpec>{WholeSpec("w" + std::to_string(i), {kElements}, {}, true)},
          options));
    }
  }
  const Parameter& parameter(int i) const { return *units[i]->parameters().front(); }
  void Forward() {
    queue.Enter(UnitQueue::Direction::kForward);
    for (auto& unit : units) {
      unit->parameters().front()->value();
      unit->AfterForward();
    }
  }
  UnitQueue queue;
  std::vector<std::unique_ptr<ShardedUnit>> units;
};

TEST(UnitQueue, GathersAheadInTheOrderOfTheLastPassWithinItsBytes) {
  testing::RunRanks(2, [](Communicator& world) {
    Stage3 stage(world, 2 * kBytes, 5);
    stage.Forward();  // learns
    stage.queue.Enter(UnitQueue::Direction::kForward);
    stage.parameter(0).value();
    for (int i = 1; i < 5; ++i) EXPECT_EQ(stage.units[i]->gathering(), i <= 2) << i;
    stage.units[0]->AfterForward();
    stage.parameter(1).value();
    EXPECT_TRUE(stage.units[3]->gathering());
    EXPECT_FALSE(stage.units[4]->gathering());
    for (auto& unit : stage.units) unit->ReleaseValues();
    for (auto& unit : stage.units) EXPECT_FALSE(unit->gathering() || unit->values_present());
  });
}

TEST(UnitQueue, LearnsAnewWhenTheOrderChanges) {
  testing::RunRanks(2, [](Communicator& world) {
    Stage3 stage(world, kBytes, 3);
    stage.Forward();
    stage.queue.Enter(UnitQueue::Direction::kForward);
    stage.parameter(2).value();  // not what came first before
    EXPECT_FALSE(stage.units[1]->gathering());
    stage.units[2]->AfterForward();
    stage.queue.Enter(UnitQueue::Direction::kBackward);  // an order of its own
    stage.parameter(0).value();
    EXPECT_FALSE(stage.units[1]->gathering());
    for (auto& unit : stage.units) unit->ReleaseValues();
  });
}

TEST(UnitQueue, WithoutPrefetchNothingIsGatheredAhead) {
  testing::RunRanks(2, [](Communicator& world) {
    Stage3 stage(world, 0, 3);
    for (int pass = 0; pass < 2; ++pass) {
      stage.queue.Enter(UnitQueue::Direction::kForward);
      stage.parameter(0).value();
      EXPECT_FALSE(stage.units[1]->gathering());
      stage.Forward();
    }
  });
}

TEST(UnitQueue, AtMostTwoWholeGradientsAndTheUnitsInUseAreAlive) {
  testing::RunRanks(2, [](Communicator& world) {
    const auto account = MemoryAccount::Create();
    const BindMemory bind(account);
    Stage3 stage(world, kBytes, 6);
    const int64_t shards = 6 * kBytes / 2;
    EXPECT_EQ(account->current()[static_cast<int>(MemoryTag::kParameters)], shards);
    EXPECT_EQ(account->current()[static_cast<int>(MemoryTag::kGradients)], shards);
    account->ResetPeaks();
    for (int step = 0; step < 2; ++step) {
      for (auto& unit : stage.units) unit->BeginStep(2);
      for (int m = 0; m < 2; ++m) {
        stage.Forward();
        stage.queue.Enter(UnitQueue::Direction::kBackward);
        for (int i = 5; i >= 0; --i) {
          Parameter& p = *stage.units[i]->parameters().front();
          p.value();
          p.AddsToGrad() ? p.grad().add_(1.0) : p.grad().fill_(1.0);
          p.ContributionDone();
        }
      }
      for (auto& unit : stage.units) unit->FinishReduce();
    }
    const TagBytes peak = account->peak().tags;
    EXPECT_LE(peak[static_cast<int>(MemoryTag::kGradients)], shards + 2 * kBytes);
    EXPECT_LE(peak[static_cast<int>(MemoryTag::kParameters)], shards + 2 * kBytes);  // in use, and the next
    EXPECT_EQ(account->current()[static_cast<int>(MemoryTag::kParameters)], shards);
    EXPECT_EQ(account->current()[static_cast<int>(MemoryTag::kGradients)], shards);
    EXPECT_TRUE(stage.units[0]->gradients().eq(4.0).all().item<bool>());
  });
}

}  // namespace
}  // namespace orthant
