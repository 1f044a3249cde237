#include "orthant/pipeline_parallel/schedule_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"
#include "orthant/pipeline_parallel/generators.h"

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ScheduleText, ReadsEveryKindOfCell) {
  const std::string text =
      "0UNSHARD,0F0,0SEND_F0,,0RECV_B0,0I0,0W0,0REDUCE_GRAD,0RESHARD,2F1\n"
      "1RECV_F0, 1F0 ,1B0,1SEND_B0\n";
  const auto schedule = ParseSchedule(text, "mine");
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  EXPECT_EQ(schedule->ranks, 2);
  EXPECT_EQ(schedule->chunks, 2);
  EXPECT_EQ(schedule->microbatches, 2);
  EXPECT_EQ(schedule->rows[0], (std::vector<Action>{{ActionKind::kGatherParams, 0, -1},
                                                    {ActionKind::kForward, 0, 0},
                                                    {ActionKind::kSendActivation, 0, 0},
                                                    {ActionKind::kRecvGradient, 0, 0},
                                                    {ActionKind::kBackwardInput, 0, 0},
                                                    {ActionKind::kBackwardWeight, 0, 0},
                                                    {ActionKind::kReduceGrads, 0, -1},
                                                    {ActionKind::kReleaseParams, 0, -1},
                                                    {ActionKind::kForward, 1, 1}}));
  EXPECT_EQ(FormatSchedule(*schedule),
            "0UNSHARD,0F0,0SEND_F0,0RECV_B0,0I0,0W0,0REDUCE_GRAD,0RESHARD,2F1\n"
            "1RECV_F0,1F0,1B0,1SEND_B0\n");
}

TEST(ScheduleText, RoundTripsEverySchedule) {
  for (const std::string& name : ScheduleNames()) {
    for (int ranks : {1, 2, 5}) {
      const auto schedule = MakeSchedule(name, {.ranks = ranks, .microbatches = 7});
      ASSERT_TRUE(schedule.ok()) << schedule.status();
      const auto read = ParseSchedule(FormatSchedule(*schedule), name);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(*read, *schedule);
    }
  }
}

std::string ErrorOf(const std::string& text) {
  const auto schedule = ParseSchedule(text, "mine.csv");
  EXPECT_FALSE(schedule.ok()) << text;
  EXPECT_EQ(ExitCodeOf(schedule.status()), ExitCode::kConfiguration);
  return std::string(schedule.status().message());
}

TEST(ScheduleText, MalformedCellsNameRowColumnAndWhatWasExpected) {
  EXPECT_THAT(ErrorOf("0F0,0B0\n1F0,F1\n"),
              AllOf(HasSubstr("mine.csv, row 2, column 2, cell 'F1'"), HasSubstr("expected a stage number")));
  EXPECT_THAT(ErrorOf("0X0\n"),
              AllOf(HasSubstr("row 1, column 1"), HasSubstr("expected one of F, B, I, W, SEND_F")));
  EXPECT_THAT(ErrorOf("0\n"), HasSubstr("expected one of F, B"));
  EXPECT_THAT(ErrorOf("0F\n"), HasSubstr("expected a microbatch number (0 to 1048576) after F"));
  EXPECT_THAT(ErrorOf("0F-1\n"), HasSubstr("expected one of"));
  EXPECT_THAT(ErrorOf("0F1x\n"), HasSubstr("expected the end of the cell, not 'x'"));
  EXPECT_THAT(ErrorOf("0UNSHARD3\n"), HasSubstr("expected the end of the cell, not '3'"));
  EXPECT_THAT(ErrorOf("0F99999999999999\n"), HasSubstr("expected a microbatch number"));
  EXPECT_THAT(ErrorOf("0F0\n0F0\n"),
              AllOf(HasSubstr("row 2"), HasSubstr("expected stage 1 plus a multiple of 2")));
  EXPECT_THAT(ErrorOf("\n \n"), HasSubstr("is empty"));
}

}  // namespace
}  // namespace orthant
