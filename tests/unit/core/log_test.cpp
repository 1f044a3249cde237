#include "orthant/core/log.h"

#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

TEST(Log, LinesHaveTimeLevelAndText) {
  std::ostringstream out;
  Logger(&out, LogLevel::kInfo).Info("step 1 {} %d");
  EXPECT_THAT(out.str(),
              MatchesRegex("[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+\\.[0-9]+ info step 1 \\{\\} %d\n"));
}

TEST(Log, LowerLevelsAreDropped) {
  std::ostringstream out;
  const Logger logger(&out, LogLevel::kWarn);
  EXPECT_FALSE(logger.Enabled(LogLevel::kInfo));
  EXPECT_TRUE(logger.Enabled(LogLevel::kWarn));
  logger.Debug("one");
  logger.Info("two");
  EXPECT_EQ(out.str(), "");
  logger.Warn("three");
  logger.Error("four");
  EXPECT_THAT(out.str(), HasSubstr("three"));
  EXPECT_THAT(out.str(), HasSubstr("four"));
}

TEST(Log, OtherRanksLogOnlyWarningsAndErrorsWithTheirLabel) {
  std::ostringstream out;
  const Logger logger(&out, LogLevel::kDebug);
  logger.ForRank(0, "D0-T0").Info("from zero");
  logger.ForRank(1, "D1-T0").Info("from one");
  logger.ForRank(1, "D1-T0").Warn("warned");
  EXPECT_THAT(out.str(), HasSubstr("[D0-T0] from zero"));
  EXPECT_THAT(out.str(), Not(HasSubstr("from one")));
  EXPECT_THAT(out.str(), HasSubstr("[D1-T0] warned"));
}

TEST(Log, ThreadsDoNotMixLines) {
  std::ostringstream out;
  const Logger logger(&out, LogLevel::kInfo);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([logger] {
      for (int i = 0; i < 200; ++i) logger.ForRank(0, "r").Info("abcdefghij");
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::istringstream lines(out.str());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count)
    EXPECT_THAT(line, ::testing::EndsWith("info [r] abcdefghij"));
  EXPECT_EQ(count, 800);
}

}  // namespace
}  // namespace orthant::testing
