#include "comm/process_state.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace orthant {
namespace {

bool Becomes(int64_t pid, uint64_t start, ProcessState state) {
  for (int i = 0; i < 500; ++i) {
    if (StateOf(pid, start) == state) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(ProcessStateTest, FollowsAChildThroughItsLife) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (;;) pause();
  }
  const uint64_t start = StartTimeOf(child);
  ASSERT_NE(start, 0u);
  EXPECT_EQ(StateOf(child, start), ProcessState::kRunning);
  EXPECT_EQ(StateOf(child, start + 1), ProcessState::kGone);  // another process with this number
  kill(child, SIGSTOP);
  EXPECT_TRUE(Becomes(child, start, ProcessState::kStopped));
  kill(child, SIGKILL);
  EXPECT_TRUE(Becomes(child, start, ProcessState::kGone));  // a zombie
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(StateOf(child, start), ProcessState::kGone);
  EXPECT_EQ(StartTimeOf(child), 0u);
}

}  // namespace
}  // namespace orthant
