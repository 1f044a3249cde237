#include "orthant/pipeline_parallel/generators.h"

#include <stdexcept>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"
#include "orthant/pipeline_parallel/schedule_text.h"
#include "orthant/pipeline_parallel/validation.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Rows(const std::string& name, const ScheduleShape& shape) {
  const auto schedule = GenerateSchedule(name, shape);
  return schedule.ok() ? FormatSchedule(*schedule) : std::string(schedule.status().message());
}

TEST(Generators, OneFOneBRows) {
  EXPECT_EQ(Rows("1f1b", {.ranks = 3, .microbatches = 4}),
            "0F0,0F1,0F2,0B0,0F3,0B1,0B2,0B3\n"
            "1F0,1F1,1B0,1F2,1B1,1F3,1B2,1B3\n"
            "2F0,2B0,2F1,2B1,2F2,2B2,2F3,2B3\n");
  EXPECT_EQ(Rows("1f1b", {.ranks = 1, .microbatches = 2}), "0F0,0B0,0F1,0B1\n");
}

TEST(Generators, OneFOneBWithFewerMicrobatchesThanRanks) {
  EXPECT_EQ(Rows("1f1b", {.ranks = 4, .microbatches = 2}),
            "0F0,0F1,0B0,0B1\n"
            "1F0,1F1,1B0,1B1\n"
            "2F0,2F1,2B0,2B1\n"
            "3F0,3B0,3F1,3B1\n");
}

TEST(Generators, GpipeRows) {
  EXPECT_EQ(Rows("gpipe", {.ranks = 2, .microbatches = 3}),
            "0F0,0F1,0F2,0B0,0B1,0B2\n"
            "1F0,1F1,1F2,1B0,1B1,1B2\n");
  EXPECT_EQ(Rows("gpipe", {.ranks = 2, .microbatches = 1, .chunks = 2}),
            "0F0,2F0,2B0,0B0\n1F0,3F0,3B0,1B0\n");
}

TEST(Generators, LoweredRows) {
  const auto schedule = MakeSchedule("1f1b", {.ranks = 2, .microbatches = 2});
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  EXPECT_EQ(FormatSchedule(*schedule),
            "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
            "1RECV_F0,1F0,1RECV_F1,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n");
}

TEST(Generators, NamesAndUnknownNames) {
  EXPECT_THAT(ScheduleNames(), ElementsAre("gpipe", "1f1b"));
  EXPECT_THAT(Rows("zb", {}), HasSubstr("No pipeline schedule is called 'zb'; there are gpipe, 1f1b."));
}

TEST(Generators, RefuseShapesThatDoNotExist) {
  EXPECT_THAT(Rows("1f1b", {.ranks = 2, .microbatches = 2, .chunks = 2}),
              HasSubstr("not 2; nearest legal: 1"));
  EXPECT_THAT(Rows("gpipe", {.ranks = 0}), HasSubstr("at least 1"));
  EXPECT_THAT(Rows("gpipe", {.ranks = 1 << 20, .microbatches = 1 << 20}), HasSubstr("too many"));
}

TEST(ForwardOnly, RunsEachMicrobatchOnceThroughEveryStage) {
  EXPECT_EQ(FormatSchedule(ForwardOnly(2, 2)), "0F0,0SEND_F0,0F1,0SEND_F1\n1RECV_F0,1F0,1RECV_F1,1F1\n");
  EXPECT_EQ(FormatSchedule(ForwardOnly(1, 1, 3)), "0F0,1F0,2F0\n");
  for (int ranks = 1; ranks <= 5; ++ranks) {
    for (int microbatches = 1; microbatches <= 7; ++microbatches) {
      for (int chunks = 1; chunks <= 3; ++chunks) {
        const absl::Status status = ValidateLowered(ForwardOnly(ranks, microbatches, chunks));
        EXPECT_TRUE(status.ok()) << status;
      }
    }
  }
  EXPECT_THROW(ForwardOnly(0, 1), std::invalid_argument);
}

}  // namespace
}  // namespace orthant
