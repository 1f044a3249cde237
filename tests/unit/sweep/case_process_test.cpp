// A case as a process: its command line, its log, its end; and who holds a folder.
#include "orthant/sweep/case_process.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/sweep/sweep_lock.h"
#include "unit/sweep/sweep_folder.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(SweepFolder, OneSweepAtATime) {
  const auto first = SweepLock::Take(dir_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(ExitCodeOf(SweepLock::Take(dir_).status()), ExitCode::kConfiguration);
}

TEST_F(SweepFolder, ACaseEndsWithItsCodeAndItsError) {
  const SweepSignals signals;
  const std::string log = dir_ + "/log";
  const auto good = RunCase({"sh", "-c", "echo fine"}, log, signals);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->exit_code, 0);
  EXPECT_EQ(*ReadFile(log), "fine\n");
  const auto bad = RunCase({"sh", "-c", "echo step; echo 'error: no luck' >&2; exit 5"}, log, signals);
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_EQ(bad->exit_code, 5);
  EXPECT_EQ(bad->error, "no luck");
  EXPECT_EQ(ExitCodeOf(RunCase({"no-such-program-here"}, log, signals).status()), ExitCode::kEnvironment);
}

TEST_F(SweepFolder, CtrlCReachesTheCaseAsSigterm) {
  const SweepSignals signals;
  std::thread later([] {
    ::usleep(300000);
    ::kill(::getpid(), SIGINT);
  });
  const auto end =
      RunCase({"sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done"}, dir_ + "/log", signals);
  later.join();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->exit_code, 7);
  EXPECT_EQ(end->signal, SIGINT);
}

// Holds FOLDER/lock for so many seconds, as a run that saves.
class Holder {
 public:
  Holder(const std::string& folder, double seconds) {
    const int descriptor = ::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    EXPECT_EQ(::flock(descriptor, LOCK_EX | LOCK_NB), 0);
    EXPECT_EQ(::write(descriptor, "process 12\n", 11), 11);
    thread_ = std::thread([descriptor, seconds] {
      ::usleep(static_cast<useconds_t>(seconds * 1e6));
      ::close(descriptor);
    });
  }
  ~Holder() { thread_.join(); }

 private:
  std::thread thread_;
};

TEST_F(SweepFolder, WaitsForARunThatSaves) {
  const SweepSignals signals;
  EXPECT_EQ(WaitForFolder(dir_ + "/none", 0, signals).holder, "");
  const Holder holder(dir_, 0.6);
  EXPECT_EQ(WaitForFolder(dir_, 0, signals).holder, "process 12");
  const FolderWait wait = WaitForFolder(dir_, 60, signals);
  EXPECT_EQ(wait.holder, "");
  EXPECT_EQ(wait.signal, 0);
}

TEST_F(SweepFolder, ASignalEndsTheWait) {
  const SweepSignals signals;
  const Holder holder(dir_, 0.5);
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(WaitForFolder(dir_, 60, signals).signal, SIGTERM);
}

// Each start stands under its own heading, and an error is looked for in the last one alone.
TEST_F(SweepFolder, ALogKeepsEarlierStarts) {
  const SweepSignals signals;
  const std::string log = dir_ + "/log";
  const auto first = RunCase({"sh", "-c", "echo 'error: the first'; exit 4"}, log, signals, LogUse::kAppend);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->error, "the first");
  const auto second = RunCase({"sh", "-c", "printf second; exit 5"}, log, signals, LogUse::kAppend);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->error, "second");
  const auto silent = RunCase({"sh", "-c", "exit 6"}, log, signals, LogUse::kAppend);
  ASSERT_TRUE(silent.ok()) << silent.status();
  EXPECT_THAT(silent->error, StartsWith("it ended with 6 and said nothing"));
  const std::string text = *ReadFile(log);
  EXPECT_THAT(text, HasSubstr("error: the first\n\n=== "));
  EXPECT_THAT(text, HasSubstr(" sh -c printf second; exit 5\nsecond\n=== "));
  EXPECT_EQ(text.substr(second->begins, 7), "second\n");
  ASSERT_TRUE(RunCase({"sh", "-c", "echo alone"}, log, signals).ok());
  EXPECT_EQ(*ReadFile(log), "alone\n");
}

TEST(CaseProcess, CommandOfEachBackend) {
  SweepSettings settings;
  settings.dir = "d";
  settings.run = "r.yaml";
  const SweepCase one{"x-r6", "x", 6, {"parallel.data=6"}, ""};
  EXPECT_THAT(
      CommandOf(settings, one, "orthant", {}),
      ElementsAre("orthant", "train", "r.yaml", "parallel.data=6", "run.name=x-r6", "run.dir=d/x-r6"));
  settings.backend = "mpirun";
  EXPECT_THAT(CommandOf(settings, one, "orthant", {"--no-bind"}),
              ElementsAre("orthant", "launch", "--ranks", "6", "--no-bind", "--", "train", "r.yaml",
                          "parallel.data=6", "run.name=x-r6", "run.dir=d/x-r6"));
  settings.backend = "submit";
  settings.ranks_per_node = 4;
  EXPECT_THAT(CommandOf(settings, one, "orthant", {"--time", "10"}),
              ElementsAre("orthant", "submit", "r.yaml", "parallel.data=6", "run.name=x-r6", "run.dir=d/x-r6",
                          "--nodes", "2", "--name", "x-r6", "--script", "d/x-r6.batch", "--time", "10"));
}

TEST(CaseProcess, LastError) {
  EXPECT_EQ(LastError("a\nerror: first\nerror: second\nwith a line\n"), "second\nwith a line");
  EXPECT_EQ(LastError("one\ntwo\n\n"), "two");
  EXPECT_EQ(LastError(""), "");
}

TEST(CaseProcess, AnErrorIsCutBetweenCharacters) {
  const std::string euros = [] {
    std::string text;
    for (int i = 0; i < 2000; ++i) text += "\xe2\x82\xac";
    return text;
  }();
  EXPECT_EQ(LastError("error: " + euros), euros.substr(0, 3999));
  EXPECT_EQ(LastError(euros), euros.substr(0, 999));
  EXPECT_EQ(LastError("error: " + std::string(5000, '\x82')).size(), 3997u);
}

}  // namespace
}  // namespace orthant::testing
