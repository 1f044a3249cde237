// sweep.json: written and read back, damaged, of another sweep.
#include "orthant/sweep/sweep_state.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "unit/sweep/sweep_folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

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

// What a case printed is cut anywhere and need not be UTF-8: the record is written all the same.
TEST_F(SweepFolder, AnyBytesOfACaseCanBeRecorded) {
  SweepState state = Sample();
  state.cases[2].error = "caf\xc3 \xff\xfe in \xe2\x82";
  ASSERT_TRUE(WriteSweepState(dir_, state).ok());
  const auto read = ReadSweepState(dir_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->cases[2].error, HasSubstr("caf\xef\xbf\xbd"));
}

TEST_F(SweepFolder, AJobAndTheStartsBeforeItAreKept) {
  SweepState state = Sample();
  state.cases[2].state = CaseState::kSubmitted;
  state.cases[2].job = "4711";
  state.cases[2].earlier_starts = 2;
  ASSERT_TRUE(WriteSweepState(dir_, state).ok());
  SweepState now = Fresh();
  ASSERT_TRUE(TakeOver(*ReadSweepState(dir_), dir_, &now).ok());
  EXPECT_EQ(now.cases[2].state, CaseState::kSubmitted);
  EXPECT_EQ(now.cases[2].job, "4711");
  EXPECT_EQ(now.cases[2].earlier_starts, 2);
}

TEST_F(SweepFolder, TheRunIsTheSameHoweverItsPathIsSpelled) {
  SweepState now = Fresh();
  now.run = (std::filesystem::current_path() / "x/../run.yaml").string();
  EXPECT_TRUE(TakeOver(Sample(), dir_, &now).ok());
  now = Fresh();
  now.run = "elsewhere/run.yaml";
  const absl::Status status = TakeOver(Sample(), dir_, &now);
  EXPECT_THAT(std::string(status.message()), HasSubstr("sweep.run was run.yaml and is elsewhere/run.yaml"));
}

// Of a case that has not begun the configuration may change, and then its old prediction says nothing.
TEST_F(SweepFolder, APredictionIsOfOneConfiguration) {
  SweepState earlier = Sample();
  for (const size_t i : {0u, 3u}) earlier.cases[i].predicted_seconds = 0.5;
  SweepState now = Fresh();
  ASSERT_TRUE(TakeOver(earlier, dir_, &now).ok());
  EXPECT_EQ(now.cases[0].predicted_seconds, 0.5);
  EXPECT_EQ(now.cases[3].predicted_seconds, 0.5);
  now = Fresh();
  now.cases[3].configuration = "c2";
  ASSERT_TRUE(TakeOver(earlier, dir_, &now).ok());
  EXPECT_EQ(now.cases[3].predicted_seconds, 0);
}

TEST(SweepTable, CutsAnErrorBetweenCharacters) {
  SweepState state = Sample();
  state.cases[2].error = std::string(96, 'x') + "\xe2\x82\xac and more";
  EXPECT_THAT(SweepTable(state, false), HasSubstr(std::string(96, 'x') + "..."));
}

}  // namespace
}  // namespace orthant::testing
