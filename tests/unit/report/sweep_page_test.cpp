// A sweep's figures, plots and page, from folders as `orthant sweep` leaves them.
#include "orthant/report/sweep_page.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/report/sweep_charts.h"
#include "orthant/report/sweep_data.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SweepPageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "sweep_page_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    state_ = {"s", "run.yaml", "strong", "threads", {}};
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // A case that took `dt` seconds a step, the first one ten times as long.
  CaseRecord& AddCase(const std::string& layout, int ranks, int zero, double dt, double bytes) {
    CaseRecord record;
    record.what = {layout + "-r" + std::to_string(ranks), layout, ranks, {}, ""};
    record.state = CaseState::kDone;
    record.starts = 1;
    const std::string folder = dir_ + "/" + record.what.name;
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/config.yaml") << "parallel:\n  data: " << ranks << "\n  zero: " << zero << "\n";
    std::ofstream metrics(folder + "/metrics.jsonl");
    for (int step = 1; step <= 5; ++step) {
      const double seconds = step == 1 ? 10 * dt : dt;
      const nlohmann::json line = {{"step", step},          {"loss", 2.5}, {"dt", seconds},
                                   {"tps", 1000 / seconds}, {"mfu", 0.25}, {"mem_peak_bytes", bytes}};
      metrics << line.dump() << "\n";
    }
    state_.cases.push_back(record);
    return state_.cases.back();
  }

  SweepData Read() {
    EXPECT_TRUE(WriteSweepState(dir_, state_).ok());
    auto data = ReadSweep(dir_);
    EXPECT_TRUE(data.ok()) << data.status();
    return *std::move(data);
  }

  std::string dir_;
  SweepState state_;
};

TEST_F(SweepPageTest, MediansLeaveOutTheFirstSteps) {
  AddCase("data", 2, 0, 0.5, 100);
  const SweepData sweep = Read();
  ASSERT_TRUE(sweep.rows[0].measured);
  EXPECT_EQ(sweep.rows[0].figures.step_seconds, 0.5);
  EXPECT_EQ(sweep.rows[0].figures.steps, 4);
  EXPECT_EQ(sweep.rows[0].figures.ranks, 2);
  EXPECT_EQ(sweep.rows[0].figures.memory_bytes, 100);
}

TEST_F(SweepPageTest, SpeedUpAndEfficiency) {
  AddCase("data", 1, 0, 0.8, 100);
  AddCase("data", 2, 0, 0.4, 100);
  AddCase("data", 4, 0, 0.4, 100);
  AddCase("zero", 2, 3, 1.0, 60);
  AddCase("zero", 4, 3, 0.5, 40);
  const SweepData sweep = Read();
  const LinePlot speed = SpeedUp(sweep);
  ASSERT_EQ(speed.series.size(), 3u);  // with the ideal
  EXPECT_THAT(speed.series[0].y, ElementsAre(1, 2, 2));
  EXPECT_THAT(speed.series[1].y, ElementsAre(2, 4));  // its own smallest count is the basis
  const LinePlot efficiency = Efficiency(sweep);
  EXPECT_THAT(efficiency.series[0].y, ElementsAre(1, 1, 0.5));
  EXPECT_THAT(efficiency.series[1].y, ElementsAre(1, 1));
  const LinePlot memory = MemoryOverZero(sweep);
  ASSERT_EQ(memory.series.size(), 2u);  // one rank has one stage only
  EXPECT_EQ(memory.series[0].name, "2 ranks");
  EXPECT_THAT(memory.series[0].x, ElementsAre(0, 3));
  EXPECT_THAT(memory.series[0].y, ElementsAre(100, 60));
  EXPECT_EQ(MfuByLayout(sweep).bars.size(), 5u);
}

TEST_F(SweepPageTest, OneNumberOfRanksHasNoSpeedUp) {
  AddCase("a", 4, 0, 0.8, 100);
  AddCase("b", 4, 0, 0.4, 100);
  const SweepData sweep = Read();
  EXPECT_TRUE(SpeedUp(sweep).series.empty());
  EXPECT_TRUE(Efficiency(sweep).series.empty());
  EXPECT_EQ(StepTimeOverRanks(sweep).series.size(), 2u);
  EXPECT_THAT(SweepPage(sweep), HasSubstr("set sweep.ranks: speed-up compares one layout on several"));
}

TEST_F(SweepPageTest, MemoryByZeroStageComparesLikeCases) {
  for (const char* micro_batch : {"1", "8"}) {
    for (const int zero : {0, 3}) {
      CaseRecord& one = AddCase(std::string("m") + micro_batch + "z" + std::to_string(zero), 2, zero, 0.5,
                                *micro_batch == '1' ? 100 - zero : 800 - zero);
      one.what.overrides = {"parallel.zero=" + std::to_string(zero), "parallel.data=2",
                            std::string("train.micro_batch=") + micro_batch, "train.dtype=bf16"};
    }
  }
  const LinePlot memory = MemoryOverZero(Read());
  ASSERT_EQ(memory.series.size(), 2u);
  EXPECT_EQ(memory.series[0].name, "2 ranks, train.micro_batch=1");
  EXPECT_THAT(memory.series[0].y, ElementsAre(100, 97));
  EXPECT_EQ(memory.series[1].name, "2 ranks, train.micro_batch=8");
  EXPECT_THAT(memory.series[1].y, ElementsAre(800, 797));
}

TEST_F(SweepPageTest, OfManyLayoutsAndCasesTheTitleSaysHowManyAreShown) {
  for (int i = 0; i < 18; ++i) {
    for (const int ranks : {1, 2, 4, 8}) AddCase("layout" + std::to_string(i), ranks, 0, 0.5, 100);
  }
  const SweepData sweep = Read();
  const LinePlot speed = SpeedUp(sweep);
  ASSERT_EQ(speed.series.size(), 17u);
  std::set<int> looks;
  for (const Series& series : speed.series) looks.insert(series.colour);
  EXPECT_EQ(looks.size(), 17u) << "the ideal has a look of its own";
  EXPECT_THAT(speed.title, HasSubstr("the first 16 of 18 layouts"));
  EXPECT_EQ(MfuByLayout(sweep).bars.size(), 64u);
  EXPECT_THAT(MfuByLayout(sweep).title, HasSubstr("the first 64 of 72 cases"));
}

TEST_F(SweepPageTest, TheOverviewCountsEveryState) {
  AddCase("a", 1, 0, 0.8, 100);
  AddCase("b", 1, 0, 0.4, 100).state = CaseState::kWaiting;
  AddCase("c", 1, 0, 0.4, 100).state = CaseState::kInterrupted;
  AddCase("d", 1, 0, 0.4, 100).state = CaseState::kSubmitted;
  EXPECT_THAT(SweepPage(Read()), HasSubstr("4 cases: 1 done, 1 interrupted, 1 submitted, 1 waiting."));
}

TEST_F(SweepPageTest, WhatIsNotDoneIsInNoPlotButInTheTable) {
  AddCase("data", 1, 0, 0.8, 100);
  AddCase("data", 2, 0, 0.4, 100).state = CaseState::kFailed;
  state_.cases.back().error = "a <bad> thing";
  const SweepData sweep = Read();
  EXPECT_EQ(StepTimeOverRanks(sweep).series[0].x.size(), 1u);
  const std::string page = SweepPage(sweep);
  EXPECT_THAT(page, HasSubstr("a &lt;bad&gt; thing"));
  EXPECT_THAT(page, Not(HasSubstr("<bad>")));
  EXPECT_THAT(page, HasSubstr("Nothing to draw"));  // no predictions
}

TEST_F(SweepPageTest, PredictionsStandBesideMeasurements) {
  AddCase("data", 1, 0, 0.8, 100);
  state_.cases.back().predicted_seconds = 0.7;
  state_.cases.back().predicted_bytes = 90;
  const SweepData sweep = Read();
  const ScatterPlot time = PredictedTime(sweep);
  ASSERT_EQ(time.points.size(), 1u);
  EXPECT_EQ(time.points[0].x, 0.7);
  EXPECT_EQ(time.points[0].y, 0.8);
  EXPECT_TRUE(time.diagonal);
  EXPECT_EQ(PredictedMemory(sweep).points[0].x, 90);
  EXPECT_THAT(DrawInline(time), Not(HasSubstr("line front")));
}

TEST_F(SweepPageTest, AFolderWithoutItsRunIsANote) {
  AddCase("data", 1, 0, 0.8, 100);
  std::filesystem::remove(dir_ + "/data-r1/config.yaml");
  std::filesystem::remove(dir_ + "/data-r1/metrics.jsonl");
  const SweepData sweep = Read();
  EXPECT_FALSE(sweep.rows[0].measured);
  EXPECT_EQ(sweep.notes.size(), 1u);
  EXPECT_THAT(SweepPage(sweep), HasSubstr("no case is done yet"));
  EXPECT_EQ(ExitCodeOf(ReadSweep(dir_ + "/data-r1").status()), ExitCode::kData);
}

}  // namespace
}  // namespace orthant::testing
