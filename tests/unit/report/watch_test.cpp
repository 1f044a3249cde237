// A run followed while it goes on: growth, cuts, its end; and the curve in text.
#include "orthant/report/watch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>

#include "gmock/gmock.h"
#include "orthant/core/file.h"
#include "unit/report/run_folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

using WatchTest = RunFolderFixture;

TEST_F(WatchTest, FollowsAFileThatGrows) {
  MetricsFollower follower(root_ + "/metrics.jsonl");
  EXPECT_FALSE(follower.Poll()) << "there is no file yet";
  const std::string path = Write("metrics.jsonl", Line(1, 4.0) + "{\"step\":2,");
  EXPECT_TRUE(follower.Poll());
  ASSERT_EQ(follower.steps().size(), 1u) << "half a line is not taken";
  EXPECT_FALSE(follower.Poll());
  std::ofstream(path, std::ios::app) << "\"loss\":3.5,\"val_loss\":3.75}\n";
  EXPECT_TRUE(follower.Poll());
  ASSERT_EQ(follower.steps().size(), 2u);
  EXPECT_EQ(follower.steps()[1].loss, 3.5);
  ASSERT_EQ(follower.validation().size(), 1u);
  EXPECT_EQ(follower.validation()[0].second, 3.75);
}

TEST_F(WatchTest, BeginsAnewAfterACut) {
  const std::string path = Write("metrics.jsonl", Line(1, 4.0) + Line(2, 3.0) + Line(3, 2.0));
  MetricsFollower follower(path);
  EXPECT_TRUE(follower.Poll());
  ASSERT_TRUE(WriteFileAtomically(path, Line(1, 4.0)).ok());  // as a resume does
  EXPECT_TRUE(follower.Poll());
  ASSERT_EQ(follower.steps().size(), 1u);
  std::ofstream(path, std::ios::app) << Line(2, 2.5);
  EXPECT_TRUE(follower.Poll());
  ASSERT_EQ(follower.steps().size(), 2u);
  EXPECT_EQ(follower.steps()[1].loss, 2.5);
  std::filesystem::remove(path);
  EXPECT_TRUE(follower.Poll());
  EXPECT_TRUE(follower.steps().empty());
}

TEST_F(WatchTest, StatesOfARun) {
  EXPECT_EQ(StatusOfRun(root_).state, RunState::kNotBegun);
  const std::string folder = WholeRun("done");
  EXPECT_EQ(StatusOfRun(folder).state, RunState::kEnded);
  EXPECT_TRUE(StatusOfRun(folder).complete);
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  const auto start = [&](const std::string& where, int64_t pid) {
    Write("run/starts.json",
          "{\"starts\":[{\"host\":\"" + where + "\",\"pid\":" + std::to_string(pid) + "}]}");
    return StatusOfRun(root_ + "/run");
  };
  EXPECT_EQ(start(host, getpid()).state, RunState::kUnderWay);
  EXPECT_EQ(start(host, 1 << 30).state, RunState::kBroken);
  EXPECT_EQ(start("another-host", 1 << 30).state, RunState::kUnderWay);
  Write("run/starts.json", R"({"starts":[{"end":{"outcome":"failed","message":"rank 3 is dead"}}]})");
  EXPECT_EQ(StatusOfRun(root_ + "/run").text, "failed: rank 3 is dead");
  EXPECT_FALSE(StatusOfRun(root_ + "/run").complete);
  Write("run/starts.json", "{");
  EXPECT_EQ(StatusOfRun(root_ + "/run").state, RunState::kNotBegun);
}

TEST_F(WatchTest, ALockThatIsHeldIsARunAtWork) {
  const std::string folder = WholeRun("locked");
  const std::string path = Write("locked/lock", "process 7 on n1, since today\n");
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  const std::string open_start =
      "{\"starts\":[{\"host\":\"" + std::string(host) + "\",\"pid\":" + std::to_string(getpid()) + "}]}";
  const int lock = open(path.c_str(), O_RDWR);
  ASSERT_EQ(flock(lock, LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(StatusOfRun(folder).state, RunState::kUnderWay) << "a restart that loads its checkpoint";
  EXPECT_EQ(StatusOfRun(folder).text, "starting: process 7 on n1, since today");
  EXPECT_FALSE(StatusOfRun(folder).complete);
  Write("locked/starts.json", open_start);
  EXPECT_THAT(StatusOfRun(folder).text, HasSubstr("under way: process"));
  close(lock);
  EXPECT_EQ(StatusOfRun(folder).state, RunState::kBroken) << "its number is another process's by now";
}

TEST_F(WatchTest, NothingOfARunReachesTheTerminalAsAControlCharacter) {
  MetricsFollower follower(Write("metrics.jsonl", Line(1, 4.0)));
  follower.Poll();
  const RunStatus status{RunState::kEnded,
                         "failed: a\x1b[2Jb\nc\xC2\x9b"
                         "d\xC3\x9f",
                         false};
  const std::string frame = WatchFrame("x\x1b]0;y\x07", status, follower, 0, 60, 10, true);
  EXPECT_THAT(frame, ::testing::StartsWith("x ]0;y : failed: a [2Jb c d\xC3\x9f\n"));
}

TEST_F(WatchTest, FrameSaysTheNewestStep) {
  MetricsFollower follower(Write("metrics.jsonl", Line(1, 4.0) + Line(2, 3.0, ",\"val_loss\":3.25")));
  follower.Poll();
  const std::string frame =
      WatchFrame("demo", {RunState::kUnderWay, "under way"}, follower, 10, 60, 10, false);
  for (const char* wanted : {"demo: under way", "step 2/10", "loss 3.0000", "validation 3.2500 at step 2",
                             "1k tokens/s", "mfu 25%", "1 MiB"})
    EXPECT_THAT(frame, HasSubstr(wanted));
}

TEST(TextPlot, FallsFromLeftToRight) {
  const std::string plot = TextPlot({{1, 4.0}, {2, NAN}, {3, 2.0}}, {{3, 2.0}}, 30, 6, /*utf8=*/false);
  std::vector<std::string> rows;
  for (size_t at = 0, end; (end = plot.find('\n', at)) != std::string::npos; at = end + 1)
    rows.push_back(plot.substr(at, end - at));
  ASSERT_EQ(rows.size(), 7u) << plot;
  EXPECT_EQ(rows[0].substr(0, 12), "        4 |.") << plot;
  EXPECT_EQ(rows[3].back(), 'o') << plot;
  EXPECT_EQ(rows[3].substr(0, 11), "        2 |") << plot;
  EXPECT_EQ(TextPlot({{1, 4.0}}, {}, 30, 6, false), "");
  const std::string flat = TextPlot({{1, 4.0}, {2, 4.0}}, {}, 30, 6, true);
  EXPECT_THAT(flat, HasSubstr("        6 |\n")) << flat;
  EXPECT_THAT(flat, HasSubstr("\xE2\xA0")) << "braille, U+2800 and after";
}

}  // namespace
}  // namespace orthant::testing
