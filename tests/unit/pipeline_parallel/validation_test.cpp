#include "orthant/pipeline_parallel/validation.h"

#include <algorithm>
#include <chrono>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/pipeline_parallel/lowering.h"
#include "orthant/pipeline_parallel/schedule_text.h"

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Schedule Parsed(const std::string& text) {
  const auto schedule = ParseSchedule(text, "mine");
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *schedule;
}
std::string ComputeError(const std::string& text) {
  const absl::Status status = ValidateCompute(Parsed(text));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  return std::string(status.message());
}
std::string LoweredError(const std::string& text) {
  const absl::Status status = ValidateLowered(Parsed(text));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  return std::string(status.message());
}

TEST(Validation, EveryGeneratedScheduleLowersToAProvenOne) {
  for (const std::string& name : ScheduleNames()) {
    for (int ranks = 1; ranks <= 8; ++ranks) {
      for (int microbatches = 1; microbatches <= 16; ++microbatches) {
        for (int chunks = 1; chunks <= (name == "gpipe" ? 3 : 1); ++chunks) {
          const auto compute =
              GenerateSchedule(name, {.ranks = ranks, .microbatches = microbatches, .chunks = chunks});
          ASSERT_TRUE(compute.ok()) << compute.status();
          ASSERT_TRUE(ValidateCompute(*compute).ok()) << ValidateCompute(*compute);
          for (double transfer : {0.0, 0.7}) {
            ScheduleCosts costs;
            costs.transfer = transfer;
            costs.backward = transfer + 1;
            const auto lowered = Lower(*compute, costs);
            ASSERT_TRUE(lowered.ok()) << lowered.status();
            ASSERT_TRUE(ValidateLowered(*lowered).ok()) << ValidateLowered(*lowered);
            // Lowering only adds: without its sends and receives the rows are what they were.
            Schedule stripped = *lowered;
            for (auto& row : stripped.rows)
              std::erase_if(row, [](const Action& a) { return IsCommunication(a.kind); });
            ASSERT_EQ(stripped, *compute);
          }
        }
      }
    }
  }
}

TEST(Validation, LoweringToleratesCostsOfZero) {
  const auto compute = GenerateSchedule("1f1b", {.ranks = 4, .microbatches = 6});
  const auto lowered = Lower(*compute, {.forward = 0,
                                        .backward = 0,
                                        .backward_input = 0,
                                        .backward_weight = 0,
                                        .transfer = 0,
                                        .stage_weight = {}});
  ASSERT_TRUE(lowered.ok()) << lowered.status();
  EXPECT_TRUE(ValidateLowered(*lowered).ok()) << ValidateLowered(*lowered);
}

TEST(Validation, SplitBackwardsAndReductionsAreLegal) {
  const Schedule compute =
      Parsed("0UNSHARD,0F0,0F1,0I0,0I1,0W0,0W1,0REDUCE_GRAD,0RESHARD\n1F0,1I0,1F1,1W0,1B1,1REDUCE_GRAD\n");
  ASSERT_TRUE(ValidateCompute(compute).ok()) << ValidateCompute(compute);
  const auto lowered = Lower(compute);
  ASSERT_TRUE(lowered.ok()) << lowered.status();
  EXPECT_TRUE(ValidateLowered(*lowered).ok()) << ValidateLowered(*lowered);
}

TEST(Validation, CountsAreProven) {
  EXPECT_THAT(
      ComputeError("0F0,0F1,0B0\n1F0,1B0,1F1,1B1\n"),
      AllOf(HasSubstr("rank 0, action 3 (the end): 0B1 is missing"), HasSubstr("each of 2 microbatches")));
  EXPECT_THAT(ComputeError("0F0,0B0,0B1\n"), HasSubstr("0F1 is missing"));
  EXPECT_THAT(ComputeError("0F0,0F0,0B0\n"), HasSubstr("action 1 (0F0): it stands at action 0 already"));
  EXPECT_THAT(ComputeError("0F0,0B0,0W0\n"), HasSubstr("the same backward stands at action 1 as 0B0"));
  EXPECT_THAT(ComputeError("0F0,0I0\n"), HasSubstr("its other half 0W0 is missing"));
  EXPECT_THAT(ComputeError("0F0,0W0\n"), HasSubstr("its other half 0I0 is missing"));
}

TEST(Validation, OrderIsProven) {
  EXPECT_THAT(ComputeError("0F0,0B1,0F1,0B0\n"),
              HasSubstr("action 1 (0B1): it stands before its forward 0F1, action 2"));
  EXPECT_THAT(ComputeError("0F0,0W0,0I0\n"), HasSubstr("action 1 (0W0): it stands before 0I0, action 2"));
  EXPECT_THAT(ComputeError("0F0,0F1,0B0,0REDUCE_GRAD,0B1\n"), HasSubstr("reduced at action 3"));
  EXPECT_THAT(ComputeError("0F0,0B0,0REDUCE_GRAD,0REDUCE_GRAD\n"), HasSubstr("at action 2 already"));
  EXPECT_THAT(ComputeError("0F0,0SEND_F0,0B0\n1F0,1B0\n"), HasSubstr("lowering adds them"));
}

TEST(Validation, OrdersThatCannotBeExecutedAreRefused) {
  // Each rank waits for what the other one does later.
  const std::string text = "0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n";
  EXPECT_THAT(ComputeError(text), AllOf(HasSubstr("deadlock: it waits for the result of 1B0"),
                                        HasSubstr("rank 1 is stuck before action 0 (1F1)")));
  const auto lowered = Lower(Parsed(text));
  ASSERT_FALSE(lowered.ok());
  EXPECT_THAT(std::string(lowered.status().message()), HasSubstr("deadlock"));
  // Chunks of one rank out of order.
  EXPECT_THAT(ComputeError("2F0,0F0,2B0,0B0\n1F0,3F0,3B0,1B0\n"), HasSubstr("waits for the result of 1F0"));
}

TEST(Validation, TheErrorShowsTheGridAtTheFailingCell) {
  EXPECT_THAT(ComputeError("0F0,0F1,0B0,0B1\n1F0,1B0,1B1,1F1\n"),
              HasSubstr("  action  rank 0    rank 1\n"
                        "       0  0F0       1F0\n"
                        "       1  0F1       1B0\n"
                        "       2  0B0       [1B1]     <-- ERROR HERE (rank 1)\n"
                        "       3  0B1       1F1"));
}

TEST(Validation, TheGridOfALargeScheduleIsAWindow) {
  auto schedule = GenerateSchedule("gpipe", {.ranks = 64, .microbatches = 512});
  std::swap(schedule->rows[30][100], schedule->rows[30][700]);
  const std::string error(ValidateCompute(*schedule).message());
  EXPECT_THAT(error, HasSubstr("<-- ERROR HERE (rank 30)"));
  EXPECT_LT(error.size(), 1500u);
}

constexpr char kGood[] =
    "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
    "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1\n";

TEST(Validation, CrossingSendsDeadlock) {
  // Rank 0 sends its second activation while rank 1 sends its first gradient: with nothing buffered both
  // wait.
  EXPECT_THAT(LoweredError(kGood), AllOf(HasSubstr("rank 0, action 3 (0SEND_F1): deadlock"),
                                         HasSubstr("rank 0 is at action 3, 0SEND_F1 to rank 1"),
                                         HasSubstr("rank 1 is at action 3, 1SEND_B0 to rank 0")));
  // Crossing receives.
  EXPECT_THAT(LoweredError("0F0,0SEND_F0,0RECV_B0,0B0,0F1,0SEND_F1,0RECV_B1,0B1\n"
                           "1RECV_F0,1F0,1RECV_F1,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n"),
              HasSubstr("deadlock when sends wait"));
}

TEST(Validation, TransfersAreProven) {
  const std::string rank1 = "1RECV_F0,1F0,1B0,1SEND_B0\n";
  EXPECT_THAT(LoweredError("0F0,0RECV_B0,0B0\n" + rank1), HasSubstr("0SEND_F0 to rank 1 is missing"));
  EXPECT_THAT(LoweredError("0F0,0SEND_F0,0B0\n" + rank1), HasSubstr("0RECV_B0 from rank 1 is missing"));
  EXPECT_THAT(LoweredError("0SEND_F0,0F0,0RECV_B0,0B0\n" + rank1),
              HasSubstr("action 0 (0SEND_F0): it is sent before it is made, which is action 1"));
  EXPECT_THAT(LoweredError("0F0,0SEND_F0,0B0,0RECV_B0\n" + rank1),
              HasSubstr("it is received after its use, which is action 2"));
  EXPECT_THAT(LoweredError("0F0,0SEND_F0,0RECV_B0,0B0,0SEND_B0\n" + rank1),
              HasSubstr("no stage precedes the first one"));
  EXPECT_THAT(LoweredError("0F0,0SEND_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1SEND_F0,1B0,1SEND_B0\n"),
              HasSubstr("no stage follows the last one"));
  EXPECT_THAT(LoweredError("0F0,0SEND_F0,1F0,1B0,0B0\n"), HasSubstr("both stages are on this rank"));
  EXPECT_THAT(LoweredError("1F0,0F0,1B0,0B0\n"),
              HasSubstr("its input is made on the same rank only at action 1"));
  EXPECT_THAT(LoweredError("0F0,0B0\n1F0,1B0\n"), HasSubstr("is missing"));
}

TEST(Validation, ReceivesStandInTheOrderOfTheSends) {
  EXPECT_THAT(
      LoweredError("0F0,0F1,0SEND_F1,0SEND_F0,0RECV_B0,0B0,0RECV_B1,0B1\n"
                   "1RECV_F0,1RECV_F1,1F0,1B0,1SEND_B0,1F1,1B1,1SEND_B1\n"),
      AllOf(HasSubstr("rank 1, action 0 (1RECV_F0)"), HasSubstr("whose send 0 to rank 1 is for 1RECV_F1")));
}

TEST(Validation, ForwardOnlyHasNoBackward) {
  Schedule schedule = ForwardOnly(2, 2);
  EXPECT_TRUE(ValidateLowered(schedule).ok());
  schedule.rows[1].push_back({ActionKind::kBackward, 0, 0});
  EXPECT_THAT(std::string(ValidateLowered(schedule).message()),
              HasSubstr("a forward-only schedule has no backward"));
  schedule.rows[1].pop_back();
  schedule.forward_only = false;
  EXPECT_THAT(std::string(ValidateLowered(schedule).message()), HasSubstr("0B0 is missing"));
}

TEST(Validation, NumbersOutsideTheScheduleAreRefused) {
  Schedule schedule = ForwardOnly(1, 2);
  schedule.microbatches = 1;
  EXPECT_THAT(std::string(ValidateLowered(schedule).message()), HasSubstr("microbatch 1 of 1"));
  schedule.microbatches = 2;
  schedule.rows[0][0].chunk = 1;
  EXPECT_THAT(std::string(ValidateLowered(schedule).message()), HasSubstr("chunk 1 of 1"));
  schedule.ranks = 2;
  EXPECT_THAT(std::string(ValidateLowered(schedule).message()), HasSubstr("1 rows for 2 ranks"));
}

// Any single pair of actions swapped in a proven schedule either keeps it proven under the independent
// check below or is refused: the validator and a plain rendezvous player agree.
bool PlaysToTheEnd(const Schedule& s) {
  std::vector<size_t> head(s.ranks, 0);
  std::vector<std::vector<bool>> received(s.ranks, std::vector<bool>(2 * s.microbatches, false));
  std::vector<std::vector<bool>> done(s.ranks, std::vector<bool>(2 * s.microbatches, false));
  for (bool moved = true; moved;) {
    moved = false;
    for (int rank = 0; rank < s.ranks; ++rank) {
      if (head[rank] >= s.rows[rank].size()) continue;
      const Action a = s.rows[rank][head[rank]];
      const bool forward = a.kind == ActionKind::kForward || a.kind == ActionKind::kSendActivation ||
                           a.kind == ActionKind::kRecvActivation;
      const size_t slot = 2 * a.microbatch + (forward ? 0 : 1);
      if (IsRecv(a.kind)) continue;  // completes with its send
      if (IsSend(a.kind)) {
        const int peer = rank + (forward ? 1 : -1);
        if (peer < 0 || peer >= s.ranks || head[peer] >= s.rows[peer].size()) continue;
        const Action b = s.rows[peer][head[peer]];
        if (b.kind != (forward ? ActionKind::kRecvActivation : ActionKind::kRecvGradient)) continue;
        if (b.microbatch != a.microbatch || !done[rank][slot]) return false;
        received[peer][slot] = true;
        ++head[peer];
      } else {
        if (forward && rank > 0 && !received[rank][slot]) return false;
        if (!forward && rank + 1 < s.ranks && !received[rank][slot]) return false;
        if (!forward && !done[rank][slot - 1]) return false;
        done[rank][slot] = true;
      }
      ++head[rank];
      moved = true;
    }
  }
  for (int rank = 0; rank < s.ranks; ++rank) {
    if (head[rank] < s.rows[rank].size()) return false;
  }
  return true;
}

TEST(Validation, AgreesWithAPlainPlayerOnEverySwap) {
  int accepted = 0, refused = 0;
  for (const std::string& name : ScheduleNames()) {
    const auto schedule = MakeSchedule(name, {.ranks = 3, .microbatches = 4});
    for (int rank = 0; rank < 3; ++rank) {
      for (size_t i = 0; i < schedule->rows[rank].size(); ++i) {
        for (size_t j = i + 1; j < schedule->rows[rank].size(); ++j) {
          Schedule broken = *schedule;
          std::swap(broken.rows[rank][i], broken.rows[rank][j]);
          const bool valid = ValidateLowered(broken).ok();
          ASSERT_EQ(valid, PlaysToTheEnd(broken)) << FormatSchedule(broken) << ValidateLowered(broken);
          ++(valid ? accepted : refused);
        }
      }
    }
  }
  EXPECT_GT(accepted, 10);
  EXPECT_GT(refused, 100);
}

TEST(Validation, LargeSchedulesAreProvenQuickly) {
  const auto start = std::chrono::steady_clock::now();
  const auto schedule = MakeSchedule("1f1b", {.ranks = 64, .microbatches = 512});
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  RecordProperty("milliseconds", static_cast<int>(spent.count() * 1000));
  EXPECT_EQ(schedule->rows[0].size(), 512u * 4);
  EXPECT_EQ(schedule->rows[1].size(), 512u * 6);
}

}  // namespace
}  // namespace orthant
