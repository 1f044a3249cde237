#include "orthant/core/signals.h"

#include <gtest/gtest.h>

#include <csignal>

namespace orthant {
namespace {

TEST(SignalsTest, TheFirstStays) {
  InstallStopSignals();
  EXPECT_EQ(StopSignal(), 0);
  std::raise(SIGUSR1);
  EXPECT_EQ(StopSignal(), SIGUSR1);
  std::raise(SIGTERM);
  EXPECT_EQ(StopSignal(), SIGUSR1);
  ClearStopSignal();
  std::raise(SIGTERM);
  std::raise(SIGTERM);
  EXPECT_EQ(StopSignal(), SIGTERM);
  ClearStopSignal();
  EXPECT_EQ(StopSignal(), 0);
}

}  // namespace
}  // namespace orthant
