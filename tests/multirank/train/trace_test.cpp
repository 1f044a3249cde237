// Timelines of traced steps: every action and operation of every rank in one file, times that fit together,
// and the same training as without.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "ATen/ATen.h"
#include "nlohmann/json.hpp"
#include "orthant/core/json.h"
#include "orthant/train/engine.h"
#include "orthant/train/trace_file.h"
#include "orthant/train/trainer.h"
#include "support/ranks.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;
using testing::RunRanks;

RunConfig Traced(const std::string& name) {
  RunConfig c;
  c.model.layers = 2;
  c.model.heads = 4;
  c.model.hidden = 16;
  c.model.context = 16;
  c.train.steps = 20;
  c.train.global_batch = 8;
  c.train.micro_batch = 2;
  c.train.dtype = "fp64";
  c.parallel.tensor = 2;
  c.parallel.pipeline = 2;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 29;
  c.data.synthetic_tokens = 4000;
  c.data.prefetch = false;
  c.run.dir = (fs::temp_directory_path() / ("orthant-trace-" + name)).string();
  c.log.trace.steps = {2, 3, 5};
  return c;
}

// Losses of `steps` steps on one rank's thread; writes the timelines.
std::vector<double> Train(const PreparedRun& run, Communicator& world, int steps) {
  Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
  Timelines timelines(run.config, run.mesh, world);
  std::vector<double> losses;
  for (int step = 1; step <= steps; ++step) {
    engine.TraceTo(timelines.Begin(step));
    losses.push_back(engine.Step().loss);
    engine.TraceTo(nullptr);
    const absl::Status written = timelines.End();
    EXPECT_TRUE(written.ok()) << written;
  }
  return losses;
}

TEST(Trace, OneFileHoldsAllRanksAndChangesNothing) {
  if (testing::MaxRanks() < 4) GTEST_SKIP() << "wants 4 ranks";
  RunConfig config = Traced("file");
  const absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  ASSERT_TRUE(run.ok()) << run.status();
  config.log.trace.steps.clear();
  const absl::StatusOr<PreparedRun> plain = PrepareRun(config, nullptr);
  RunRanks(4, [&](Communicator& world) {
    if (world.rank() == 0) fs::remove_all(config.run.dir);
    world.Barrier("clean");
    EXPECT_EQ(Train(*run, world, 5), Train(*plain, world, 5));
    world.Barrier("written");
    if (world.rank() != 0) return;
    const absl::StatusOr<nlohmann::json> two = ReadJsonFile(config.run.dir + "/trace/step_00000002.json");
    ASSERT_TRUE(two.ok()) << two.status();
    EXPECT_TRUE(fs::exists(config.run.dir + "/trace/step_00000005.json"));
    EXPECT_FALSE(fs::exists(config.run.dir + "/trace/step_00000003.json")) << "steps 2 and 3 share a file";
    std::map<std::string, int> count;
    std::set<int> ranks;
    for (const nlohmann::json& event : (*two)["traceEvents"]) {
      if (event["ph"] != "X") continue;
      ranks.insert(event["pid"].get<int>());
      const std::string category = event["cat"];
      ++count[category == "compute" ? event["args"]["action"].get<std::string>() : category];
      EXPECT_GE(event["dur"].get<double>(), 0);
    }
    EXPECT_EQ(ranks, (std::set<int>{0, 1, 2, 3}));
    EXPECT_EQ(count["forward"], 4 * 4 * 2) << "4 ranks, 4 microbatches, 2 steps";
    EXPECT_EQ(count["backward"], 4 * 4 * 2);
    EXPECT_GT(count["communication"], 4 * 4 * 2);
    fs::remove_all(config.run.dir);
  });
}

TEST(Trace, OperationsAreThoseThatBytesAreCountedFor) {
  if (testing::MaxRanks() < 4) GTEST_SKIP() << "wants 4 ranks";
  const RunConfig config = Traced("bytes");
  const absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  ASSERT_TRUE(run.ok()) << run.status();
  RunRanks(4, [&](Communicator& world) {
    Engine engine(run->config, run->mesh, run->vocab, run->dataset, world);
    const auto before = engine.model().groups().BytesSent();
    StepTrace trace(*world.flight_recorder(), 1);
    engine.TraceTo(&trace);
    engine.Step();
    trace.End();
    const auto after = engine.model().groups().BytesSent();
    int64_t counted = 0, traced = 0;
    for (int a = 0; a < kAxisCount; ++a) counted += after[a] - before[a];
    double exposed = 0;
    for (const TracedOperation& operation : trace.operations()) {
      traced += operation.entry.sent;
      exposed += operation.exposed;
      EXPECT_GE(operation.hidden, 0);
      EXPECT_GE(operation.entry.ended, operation.entry.queued);
    }
    EXPECT_EQ(traced, counted);
    EXPECT_EQ(trace.lost(), 0);
    EXPECT_GT(exposed, 0);
    EXPECT_EQ(trace.actions().size(), 8u);
    for (size_t i = 1; i < trace.actions().size(); ++i)
      EXPECT_GE(trace.actions()[i].begin, trace.actions()[i - 1].end);
    ASSERT_GE(trace.activities().size(), 3u);
    EXPECT_STREQ(trace.activities()[1].name, "forward and backward");
  });
}

TEST(Trace, ClocksOfOneMachineAreOne) {
  if (testing::MaxRanks() < 4) GTEST_SKIP() << "wants 4 ranks";
  RunRanks(4, [](Communicator& world) {
    const ClockOffset offset = MeasureClock(world);
    EXPECT_EQ(offset.ahead, 0);
    EXPECT_TRUE(world.rank() == 0 || offset.round_trip > 0);
  });
}

TEST(ClockOffset, IsWhatThePingCannotExplain) {
  EXPECT_EQ(OffsetOf(1000, 1050, 1100).ahead, 0);
  EXPECT_EQ(OffsetOf(1000, 1099, 1100).ahead, 0) << "the answer may have been late";
  EXPECT_EQ(OffsetOf(1000, 6050, 1100).ahead, 5000);
  EXPECT_EQ(OffsetOf(1000, -3950, 1100).ahead, -5000);
  EXPECT_EQ(OffsetOf(1000, 6050, 1100).round_trip, 100);
}

FlightEntry EntryAt(int queued, int started, int waited, int over, int ended) {
  const auto at = [](int ms) {
    return ms < 0 ? FlightRecorder::Clock::time_point{}
                  : FlightRecorder::Clock::time_point(std::chrono::milliseconds(ms));
  };
  FlightEntry entry;
  entry.state = FlightState::kDone;
  entry.queued = at(queued);
  entry.started = at(started);
  entry.waited = at(waited);
  entry.over = at(over);
  entry.ended = at(ended);
  return entry;
}

TEST(TracedOperation, ExposedAndHidden) {
  const auto parts = [](const FlightEntry& entry) {
    const TracedOperation operation = TracedOperationOf(entry, "data");
    return std::pair(operation.exposed, operation.hidden);
  };
  EXPECT_EQ(parts(EntryAt(10, 10, -1, -1, 14)), std::pair(0.004, 0.0)) << "blocking";
  EXPECT_EQ(parts(EntryAt(10, 11, 13, 14, 14)), std::pair(0.001, 0.003)) << "waited for at 13";
  EXPECT_EQ(parts(EntryAt(10, 11, 18, 12, 18)), std::pair(0.0, 0.002)) << "over at 12, asked for at 18";
  EXPECT_EQ(parts(EntryAt(10, 11, -1, -1, 14)), std::pair(0.0, 0.004)) << "nobody waited";
  EXPECT_EQ(parts(EntryAt(10, 11, 13, -1, 14)), std::pair(0.001, 0.003)) << "the backend does not know when";
}

TEST(StepTrace, OperationsThatWereOverwrittenAreCounted) {
  FlightRecorder recorder(0, 8);
  const int group = recorder.RegisterGroup("data");
  Operation op;
  StepTrace trace(recorder, 1);
  for (int i = 0; i < 20; ++i) {
    op.sequence = static_cast<uint64_t>(i + 1);
    recorder.Mark(recorder.Begin(op, group, FlightState::kStarted), FlightState::kDone);
  }
  trace.Enter("x");
  EXPECT_EQ(trace.operations().size(), 8u);
  EXPECT_EQ(trace.lost(), 12);
  const uint64_t slow = recorder.Begin(op, group, FlightState::kQueued);
  trace.Enter("y");
  EXPECT_EQ(trace.operations().size(), 8u) << "it has not ended";
  recorder.SetWaiting(slow);
  recorder.Mark(slow, FlightState::kDone);
  trace.End();
  ASSERT_EQ(trace.operations().size(), 9u);
  EXPECT_NE(trace.operations().back().entry.waited, FlightRecorder::Clock::time_point{});
  EXPECT_EQ(trace.lost(), 12);
  const uint64_t later = recorder.Begin(op, group, FlightState::kQueued);
  recorder.SetWaiting(later);
  EXPECT_EQ(recorder.Entries().back().waited, FlightRecorder::Clock::time_point{})
      << "waits are timed in traces alone";
}

}  // namespace
}  // namespace orthant
