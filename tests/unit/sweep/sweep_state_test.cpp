// sweep.json: written and read back, damaged, of another sweep; and a case as a process.
#include "orthant/sweep/sweep_state.h"

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/sweep/case_process.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SweepFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "sweep_test_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

CaseRecord Record(const std::string& name, CaseState state) {
  CaseRecord record;
  record.what = {name, "layout", 4, {"parallel.data=4"}, ""};
  record.state = state;
  record.configuration = "c1";
  return record;
}

SweepState Sample() {
  SweepState state{"s", "run.yaml", "strong", "threads", {}};
  state.cases = {Record("done", CaseState::kDone), Record("cut", CaseState::kRunning),
                 Record("bad", CaseState::kFailed), Record("new", CaseState::kWaiting)};
  for (size_t i = 0; i < 3; ++i) state.cases[i].starts = 1;
  state.cases[0].seconds = 1.25;
  state.cases[0].predicted_seconds = 0.1;
  state.cases[0].predicted_bytes = 4096;
  state.cases[2].exit_code = 6;
  state.cases[2].error = "the loss is not finite";
  return state;
}

TEST_F(SweepFolder, ReadsBackWhatWasWritten) {
  const SweepState state = Sample();
  ASSERT_TRUE(WriteSweepState(dir_, state).ok());
  const auto read = ReadSweepState(dir_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), ToJson(state));
  EXPECT_EQ(read->Count(CaseState::kDone), 1);
}

TEST_F(SweepFolder, DamageIsADataError) {
  ASSERT_TRUE(WriteSweepState(dir_, Sample()).ok());
  const std::string text = *ReadFile(SweepStatePath(dir_));
  for (const std::string& broken :
       {text.substr(0, text.size() / 2), std::string("{\"format\": 1}"), std::string("{\"format\": 9}")}) {
    ASSERT_TRUE(WriteFileAtomically(SweepStatePath(dir_), broken).ok());
    EXPECT_EQ(ExitCodeOf(ReadSweepState(dir_).status()), ExitCode::kData) << broken;
  }
}

SweepState Fresh() {
  SweepState now = Sample();
  for (CaseRecord& record : now.cases) {
    const SweepCase what = record.what;
    record = CaseRecord();
    record.what = what;
    record.configuration = "c1";
  }
  return now;
}

TEST_F(SweepFolder, TakesOverWhatIsDone) {
  SweepState now = Fresh();
  now.cases.push_back(Record("more", CaseState::kWaiting));
  ASSERT_TRUE(TakeOver(Sample(), dir_, &now).ok());
  EXPECT_EQ(now.cases[0].state, CaseState::kDone);
  EXPECT_EQ(now.cases[0].seconds, 1.25);
  EXPECT_EQ(now.cases[1].state, CaseState::kInterrupted);
  EXPECT_EQ(now.cases[2].state, CaseState::kFailed);
  EXPECT_EQ(now.cases[2].exit_code, 6);
  EXPECT_EQ(now.cases[4].state, CaseState::kWaiting);
}

TEST_F(SweepFolder, AnotherSweepIsRefusedWithEveryDifference) {
  SweepState now = Fresh();
  now.name = "other";
  now.cases[0].configuration = "c2";
  now.cases.erase(now.cases.begin() + 1);
  const absl::Status status = TakeOver(Sample(), dir_, &now);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("sweep.name was s and is other"));
  EXPECT_THAT(message, HasSubstr("the case cut is not in this file"));
  EXPECT_THAT(message, HasSubstr("the case done has begun with another configuration"));
}

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
                          "parallel.data=6", "run.name=x-r6", "run.dir=d/x-r6", "comm.backend=mpi"));
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

}  // namespace
}  // namespace orthant::testing
