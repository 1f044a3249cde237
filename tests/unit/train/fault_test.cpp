#include "orthant/train/fault.h"

#include <stdexcept>

#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

FaultInjector InjectorOf(const std::string& fault, int64_t rank) {
  FaultConfig config;
  config.inject = {fault};
  return FaultInjector(config, rank);
}

TEST(Fault, IsReadWordByWord) {
  const auto fault = ParseFault("sleep rank=2 step=5 phase=data attempt=1 seconds=1.5");
  ASSERT_TRUE(fault.ok()) << fault.status();
  EXPECT_EQ(fault->kind, FaultKind::kSleep);
  EXPECT_EQ(fault->rank, 2);
  EXPECT_EQ(fault->step, 5);
  EXPECT_EQ(fault->phase, FaultPhase::kData);
  EXPECT_EQ(fault->attempt, 1);
  EXPECT_EQ(fault->seconds, 1.5);
}

TEST(Fault, WhatIsNotUnderstoodIsNamed) {
  for (const char* text :
       {"", "explode rank=1", "kill rank=-1", "kill phase=lunch", "kill when=now", "kill rank"}) {
    const auto fault = ParseFault(text);
    ASSERT_FALSE(fault.ok()) << text;
    EXPECT_EQ(ExitCodeOf(fault.status()), ExitCode::kConfiguration) << text;
    EXPECT_NE(fault.status().message().find("fault.inject: '"), std::string::npos) << fault.status();
  }
}

TEST(Fault, HappensOnceAtItsMomentOnItsRank) {
  FaultInjector other = InjectorOf("throw rank=1 step=2 phase=reduce", 0);
  EXPECT_TRUE(other.empty());
  FaultInjector faults = InjectorOf("throw rank=1 step=2 phase=reduce", 1);
  EXPECT_FALSE(faults.empty());
  faults.EnterStep(1);
  faults.At(FaultPhase::kReduce);
  faults.EnterStep(2);
  faults.At(FaultPhase::kForward);
  EXPECT_THROW(faults.At(FaultPhase::kReduce), std::runtime_error);
  faults.At(FaultPhase::kReduce);
}

// The only fault of a rank may be one of its writing thread.
TEST(Fault, ASaveIsCutAtItsShareOfTheBytes) {
  FaultInjector faults = InjectorOf("throw rank=0 step=4 phase=save at=0.3", 0);
  ASSERT_FALSE(faults.empty());
  faults.EnterStep(4);
  faults.At(FaultPhase::kSave);
  faults.EnterSave(2);
  faults.OnWrite(100, 100);
  faults.EnterSave(4);
  faults.OnWrite(29, 100);
  EXPECT_THROW(faults.OnWrite(30, 100), std::runtime_error);
  faults.OnWrite(31, 100);
}

TEST(Fault, ActsInItsAttemptAlone) {
  EXPECT_TRUE(InjectorOf("throw rank=0 step=2 phase=reduce attempt=1", 0).empty());
  EXPECT_FALSE(InjectorOf("throw rank=0 step=2 phase=reduce attempt=0", 0).empty());
}

}  // namespace
}  // namespace orthant
