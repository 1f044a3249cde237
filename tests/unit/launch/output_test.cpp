// What a supervised command writes, and what happens when it does nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "orthant/core/status.h"
#include "orthant/launch/supervisor.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SupervisedOutputTest : public ::testing::Test {
 protected:
  int Run(const std::string& script, int restarts = 0) {
    options.command = {"sh", "-c", script};
    options.restarts = restarts;
    options.backoff_seconds = 0.001;
    options.grace_seconds = 0.3;
    options.log = [this](const std::string& line) { log.push_back(line); };
    const absl::StatusOr<int> code = Supervise(options);
    EXPECT_TRUE(code.ok()) << code.status();
    return code.value_or(-1);
  }
  void TakeOutput() {
    options.output = [this](int stream, absl::string_view line) {
      const std::lock_guard<std::mutex> lock(mutex);
      lines[stream].emplace_back(line);
    };
  }

  Folder folder;
  SupervisorOptions options;
  std::vector<std::string> log;
  std::mutex mutex;
  std::map<int, std::vector<std::string>> lines;
};

TEST_F(SupervisedOutputTest, ComesLineByLine) {
  TakeOutput();
  EXPECT_EQ(Run("echo one; echo wrong >&2; printf 'two\\n\\nrest'"), 0);
  EXPECT_THAT(lines[1], ElementsAre("one", "two", "", "rest"));
  EXPECT_THAT(lines[2], ElementsAre("wrong"));
}

TEST_F(SupervisedOutputTest, NothingOfItIsLost) {
  TakeOutput();
  EXPECT_EQ(Run("seq 1 30000"), 0);
  ASSERT_THAT(lines[1], SizeIs(30000));
  EXPECT_EQ(lines[1].back(), "30000");
}

TEST_F(SupervisedOutputTest, OfEveryAttempt) {
  TakeOutput();
  EXPECT_EQ(Run("echo $ORTHANT_ATTEMPT; [ $ORTHANT_ATTEMPT = 1 ] || exit 4", 1), 0);
  EXPECT_THAT(lines[1], ElementsAre("0", "1"));
}

TEST_F(SupervisedOutputTest, WhoIsLeftBehindHoldsNobodyUp) {
  TakeOutput();
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(Run("sleep 20 & echo done"), 0);  // it keeps the pipe open
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(15));
  EXPECT_THAT(lines[1], ElementsAre("done"));
}

TEST_F(SupervisedOutputTest, AnIdleCommandIsToldToSave) {
  TakeOutput();
  options.idle_seconds = 0.3;
  EXPECT_EQ(Run("trap 'echo saved; exit 7' USR1; while true; do sleep 0.01; done"), 4);
  EXPECT_THAT(lines[1], ElementsAre("saved"));
  ASSERT_THAT(log, SizeIs(1));
  EXPECT_THAT(log[0], AllOf(HasSubstr("exit code 7"),
                            HasSubstr("it was ended because it did nothing for 300 ms: no output"),
                            HasSubstr("no restarts were asked for")));
}

TEST_F(SupervisedOutputTest, AnIdleCommandIsStartedAgain) {
  options.idle_seconds = 0.3;
  EXPECT_EQ(Run("[ $ORTHANT_ATTEMPT = 1 ] && exit 0; trap 'exit 0' USR1; while true; do sleep 0.01; done", 1),
            0);
  EXPECT_THAT(log, ElementsAre(HasSubstr("restart 1 of 1"), "attempt 1 is done"));
}

TEST_F(SupervisedOutputTest, WhoIgnoresItIsKilled) {
  options.idle_seconds = 0.3;
  EXPECT_EQ(Run("trap '' USR1 TERM; while true; do sleep 0.01; done"), 4);
  EXPECT_THAT(log, ElementsAre(HasSubstr("SIGKILL; it was ended")));
}

TEST_F(SupervisedOutputTest, LinesAndStepsAreActivity) {
  TakeOutput();
  options.idle_seconds =
      3.0;  // many times the pause between two lines, for a machine that is busy with others
  EXPECT_EQ(Run("i=0; while [ $i -lt 40 ]; do echo $i; i=$((i + 1)); sleep 0.1; done"), 0) << "lines";
  options.output = nullptr;
  options.idle_seconds = 0.5;
  int64_t steps = 0;
  options.growth = [&steps] { return ++steps; };
  EXPECT_EQ(Run("sleep 1.2"), 0) << "steps";
  EXPECT_THAT(log, IsEmpty());
}

TEST_F(SupervisedOutputTest, ALostHostChangesTheCommand) {
  options.replan = [this](const std::vector<std::string>& command) {
    return command[2] == "exit 4" ? std::vector<std::string>{"sh", "-c", "exit 5"}
                                  : std::vector<std::string>{};
  };
  EXPECT_EQ(Run("exit 4", 9), 5);
  EXPECT_THAT(log, ElementsAre(HasSubstr("restart 1 of 9"), HasSubstr("attempt 1 ended")));
}

}  // namespace
}  // namespace orthant::testing
