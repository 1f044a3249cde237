// The bench of the step on real ranks: what it counts agrees with the step's own figures and with the plan of
// communication. No test looks at how long anything took.
#include "orthant/bench/step_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "orthant/core/status.h"
#include "support/ranks.h"

namespace orthant {
namespace {

using testing::RunRanks;

RunConfig SmallRun(const Degrees& degrees, int zero) {
  RunConfig c;
  c.run.name = "small";
  c.model.layers = 2;
  c.model.heads = 4;
  c.model.hidden = 16;
  c.model.context = 16;
  c.parallel.data = degrees.data;
  c.parallel.tensor = degrees.tensor;
  c.parallel.pipeline = degrees.pipeline;
  c.parallel.sequence = degrees.sequence;
  c.parallel.zero = zero;
  c.train.global_batch = 8;
  c.train.micro_batch = 1;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 29;
  c.data.prefetch = false;
  c.log.peak_tflops = 0.1;
  return c;
}

StepBenchOptions Options(int64_t steps) {
  StepBenchOptions options;
  options.steps = steps;
  options.warmup = 1;
  options.started = std::chrono::steady_clock::now();
  return options;
}

TEST(BenchStep, FourAxes) {
  RunRanks(8, [](Communicator& world) {
    const Degrees degrees{.data = 2, .tensor = 2, .pipeline = 2};
    const auto run = PrepareRun(SmallRun(degrees, 1), nullptr);
    ASSERT_TRUE(run.ok()) << run.status();
    int64_t steps = 0;
    const auto result =
        BenchStep(*run, Options(3), world, RankEnvironment(), [&](int64_t done, int64_t total) {
          EXPECT_EQ(done, ++steps);
          EXPECT_EQ(total, 4);
        });
    ASSERT_TRUE(result.ok()) << result.status();
    if (world.rank() != 0) return;
    EXPECT_EQ(steps, 4);
    const StepReport& r = result->report;
    EXPECT_EQ(r.steps, 3);
    EXPECT_GT(r.min, 0);
    EXPECT_LE(r.min, r.median);
    EXPECT_LE(r.median, r.max);
    EXPECT_EQ(result->facts.tokens, 8 * 16);
    EXPECT_EQ(result->facts.microbatches, 4);
    EXPECT_GT(result->facts.first_step_seconds, 0);
    EXPECT_GT(result->facts.memory_peak_bytes, 0);
    EXPECT_GT(result->facts.first_loss, 0);
    EXPECT_GT(result->TokensPerSecond(), 0);
    // Each axis of several ranks waits and sends; sequence has one.
    for (const Axis axis : {Axis::kData, Axis::kTensor, Axis::kPipeline}) {
      EXPECT_GT(r.exposed[static_cast<size_t>(axis)].median, 0) << AxisName(axis);
      EXPECT_GT(r.sent_bytes[static_cast<size_t>(axis)], 0) << AxisName(axis);
    }
    const auto sequence = static_cast<size_t>(Axis::kSequence);
    EXPECT_EQ(r.exposed[sequence].slowest, 0);
    EXPECT_EQ(r.hidden[sequence].slowest, 0);
    EXPECT_EQ(r.sent_bytes[sequence], 0);
  });
}

// Within one rank's step no part overlaps another, and a rank cannot wait for longer than its step.
TEST(BenchStep, PartsAndWaitsFitIntoTheStep) {
  RunRanks(4, [](Communicator& world) {
    const Degrees degrees{.data = 2, .sequence = 2};
    const auto run = PrepareRun(SmallRun(degrees, 3), nullptr);
    ASSERT_TRUE(run.ok()) << run.status();
    const auto result = BenchStep(*run, Options(1), world, RankEnvironment(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status();
    if (world.rank() != 0) return;
    const StepReport& r = result->report;  // one step: each rank's figures are those of the step
    double least = 0;
    for (const OverRanks& part : r.parts) least = std::max(least, part.slowest);
    EXPECT_LE(least, r.max);
    EXPECT_GE(r.other.slowest, 0);
    EXPECT_GE(r.computing.slowest, 0);
    EXPECT_LE(r.exposed[static_cast<size_t>(Axis::kData)].slowest + 0.0, r.max);
    EXPECT_LE(r.computing.slowest, r.max);
    EXPECT_EQ(r.exposed[static_cast<size_t>(Axis::kTensor)].slowest, 0);
  });
}

TEST(BenchStep, OneRankWaitsForNobody) {
  RunRanks(1, [](Communicator& world) {
    const auto run = PrepareRun(SmallRun(Degrees{}, 0), nullptr);
    ASSERT_TRUE(run.ok()) << run.status();
    const auto result = BenchStep(*run, Options(2), world, RankEnvironment(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status();
    for (const OverRanks& axis : result->report.exposed) EXPECT_EQ(axis.slowest, 0);
    EXPECT_DOUBLE_EQ(result->report.computing.median, result->report.step.median);
  });
}

// The ranks' clocks differ; all must leave after the same step.
TEST(BenchStep, TimeUpEndsAllRanksTogether) {
  RunRanks(4, [](Communicator& world) {
    const auto run = PrepareRun(SmallRun({.tensor = 4}, 0), nullptr);
    ASSERT_TRUE(run.ok()) << run.status();
    StepBenchOptions options = Options(1000000);
    options.seconds = 1e-6;
    const auto result = BenchStep(*run, options, world, RankEnvironment(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status();
    if (world.rank() != 0) return;
    EXPECT_GE(result->report.steps, 1);
    EXPECT_LT(result->report.steps, 1000000);
  });
}

TEST(BenchStep, ALossThatIsNotFiniteIsNotTimed) {
  RunRanks(2, [](Communicator& world) {
    RunConfig config = SmallRun({.data = 2}, 0);
    config.optimizer.lr = 1e30;
    config.optimizer.warmup = 0;
    config.train.clip = 0;
    const auto run = PrepareRun(config, nullptr);
    ASSERT_TRUE(run.ok()) << run.status();
    const absl::Status status = BenchStep(*run, Options(20), world, RankEnvironment(), nullptr).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kNumerical) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("is not timed"));
  });
}

}  // namespace
}  // namespace orthant
