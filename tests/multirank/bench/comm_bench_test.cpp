// The bench of communication on real ranks: it runs, its results are checked, and what it counts is
// consistent. No test looks at how long anything took.
#include "orthant/bench/comm_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orthant/comm/mpi.h"
#include "orthant/core/status.h"
#include "support/ranks.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using testing::MaxRanks;
using testing::RunRanks;

CommBenchOptions OptionsFor(const Degrees& degrees, const std::string& axes,
                            const std::string& dtype = "fp32") {
  CommBenchOptions options;
  options.axes = *ParseBenchAxes(axes, degrees);
  options.ops = *ParseBenchOps("all");
  options.dtype = dtype;
  const int64_t unit = BenchSizeUnit(options.axes, Mesh(degrees),
                                     dtype == "fp64"   ? 8
                                     : dtype == "bf16" ? 2
                                                       : 4);
  options.sizes = {unit, 3000 * unit};
  options.iterations = 2;
  return options;
}

// Bytes that the group's first rank sends in one call, by the textbook (Communicator::bytes_sent).
int64_t SentBy(BenchOp op, int64_t bytes, int64_t n) {
  switch (op) {
    case BenchOp::kAllReduce:
      return 2 * (n - 1) * bytes / n;
    case BenchOp::kAllGather:
    case BenchOp::kReduceScatter:
    case BenchOp::kAllToAll:
    case BenchOp::kAllToAllSplit:
    case BenchOp::kScatter:
      return (n - 1) * (bytes / n);
    case BenchOp::kReduce:
    case BenchOp::kGather:
    case BenchOp::kBarrier:
    case BenchOp::kCopy:
      return 0;
    default:
      return bytes;
  }
}

// `first`: on the rank whose result counts, which is the first of its groups.
void ExpectConsistent(const LinkAxis& axis, const CommBenchOptions& options, bool first) {
  ASSERT_EQ(axis.curves.size(), options.ops.size());
  for (size_t o = 0; o < options.ops.size(); ++o) {
    const LinkCurve& curve = axis.curves[o];
    SCOPED_TRACE(std::string(BenchOpName(curve.op)));
    EXPECT_EQ(curve.op, options.ops[o]);
    const bool barrier = curve.op == BenchOp::kBarrier;
    ASSERT_EQ(curve.points.size(), barrier ? 1 : options.sizes.size());
    for (size_t p = 0; p < curve.points.size(); ++p) {
      const LinkPoint& point = curve.points[p];
      EXPECT_EQ(point.bytes, barrier ? 0 : options.sizes[p]);
      EXPECT_EQ(point.samples, 2);
      EXPECT_GT(point.min_seconds, 0);
      EXPECT_LE(point.min_seconds, point.seconds);
      EXPECT_LE(point.seconds, point.max_seconds);
      if (first) {
        EXPECT_EQ(point.sent_bytes, SentBy(curve.op, point.bytes, axis.ranks));
      }
    }
    ASSERT_FALSE(curve.pieces.empty());
    EXPECT_GE(curve.worst_error, 0);
  }
}

TEST(BenchComm, EveryOperationOnEveryAxis) {
  RunRanks(8, [](Communicator& world) {
    const Degrees degrees{.data = 2, .tensor = 4};
    const CommBenchOptions options = OptionsFor(degrees, "all");
    int64_t calls = 0, cells = 0;
    const auto result =
        BenchComm(Mesh(degrees), options, world, RankEnvironment(), [&](int64_t done, int64_t total) {
          EXPECT_EQ(done, ++calls);
          cells = total;
        });
    ASSERT_TRUE(result.ok()) << result.status();
    const LinkFile& links = result->links;
    EXPECT_EQ(links.mesh, degrees);
    ASSERT_EQ(links.axes.size(), 3u);
    EXPECT_EQ(links.axes[0].axis, "data");
    EXPECT_EQ(links.axes[0].ranks, 2);
    EXPECT_EQ(links.axes[0].groups, 4);
    EXPECT_EQ(links.axes[1].axis, "tensor");
    EXPECT_EQ(links.axes[1].groups, 2);
    EXPECT_EQ(links.axes[2].axis, "world");
    for (const LinkAxis& axis : links.axes) {
      EXPECT_EQ(axis.hosts, 1);
      ExpectConsistent(axis, options, world.rank() == 0);
    }
    if (world.rank() == 0) {
      EXPECT_EQ(calls, cells);
      EXPECT_EQ(cells, 3 * (12 * 2 + 1));
      // What was measured is a file that can be read.
      EXPECT_TRUE(LinkFileFromJson(ToJson(*result), "links").ok());
      EXPECT_EQ(ToJson(*LinkFileFromJson(ToJson(*result), "links")).dump(), ToJson(links).dump());
    }
  });
}

class BenchCommTypes : public ::testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(BenchCommTypes, ResultsAreRight) {
  const auto [dtype, asynchronous] = GetParam();
  RunRanks(2, [dtype = std::string(dtype), asynchronous = asynchronous](Communicator& world) {
    const Degrees degrees{.pipeline = 2};
    CommBenchOptions options = OptionsFor(degrees, "pipeline", dtype);
    options.asynchronous = asynchronous;
    const auto result = BenchComm(Mesh(degrees), options, world, RankEnvironment(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->links.asynchronous, asynchronous);
    ExpectConsistent(result->links.axes[0], options, world.rank() == 0);
  });
}

INSTANTIATE_TEST_SUITE_P(All, BenchCommTypes,
                         ::testing::Combine(::testing::Values("fp32", "fp64", "bf16"), ::testing::Bool()));

TEST(BenchComm, AsManySamplesAsFitTheTime) {
  RunRanks(2, [](Communicator& world) {
    const Degrees degrees{.data = 2};
    CommBenchOptions options = OptionsFor(degrees, "data");
    options.ops = {BenchOp::kAllReduce};
    options.iterations = 0;
    options.seconds = 1e-9;
    const auto result = BenchComm(Mesh(degrees), options, world, RankEnvironment(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status();
    for (const LinkPoint& point : result->links.axes[0].curves[0].points) EXPECT_EQ(point.samples, 5);
  });
}

TEST(BenchComm, MemoryThatIsNotThereIsToldOnAllRanks) {
  RunRanks(2, [](Communicator& world) {
    const Degrees degrees{.data = 2};
    CommBenchOptions options = OptionsFor(degrees, "data");
    options.sizes.push_back(int64_t{1} << 50);
    const absl::Status status = BenchComm(Mesh(degrees), options, world, RankEnvironment(), nullptr).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("choose smaller --sizes"));
  });
}

// A filter that leaves one rank's contribution out of what it sends.
class Spoil : public OperationFilter {
 public:
  Action Before(Operation* op) override {
    if (op->kind == OpKind::kAllReduce && op->dtype == at::kFloat && op->count > 0) {
      static_cast<float*>(op->output)[0] += 1.0f;
    }
    return Action::kPass;
  }
};

TEST(BenchComm, AWrongResultIsToldOnAllRanks) {
  RunRanks(2, [](Communicator& world) {
    const Degrees degrees{.data = 2};
    CommBenchOptions options = OptionsFor(degrees, "data");
    options.ops = {BenchOp::kAllReduce};
    Spoil spoil;
    if (world.rank() == 1) world.SetFilter(&spoil);
    const absl::Status status = BenchComm(Mesh(degrees), options, world, RankEnvironment(), nullptr).status();
    world.SetFilter(nullptr);
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kCommunication) << status;
    EXPECT_THAT(std::string(status.message()),
                ::testing::HasSubstr(
                    "all_reduce of 8 bytes (fp32) on the data axis is wrong on rank 0: element 0 is"));
  });
}

TEST(BenchComm, MpisOwnCollectivesBesideOurs) {
  // Threads that are ranks have no MPI between them.
  if (!MpiRuntime::UnderLauncher()) GTEST_SKIP() << "skipped: needs tier mpi";
  RunRanks(4, [](Communicator& world) {
    const Degrees degrees{.data = 2, .tensor = 2};
    CommBenchOptions options = OptionsFor(degrees, "data,tensor,world");
    options.compare_mpi = true;
    const auto result = BenchComm(Mesh(degrees), options, world, RankEnvironment(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->mpi.size(), 3u);
    for (size_t a = 0; a < 3; ++a) {
      ExpectConsistent(result->links.axes[a], options, world.rank() == 0);
      ExpectConsistent(result->mpi[a], options, world.rank() == 0);
    }
    if (world.rank() == 0) {
      EXPECT_EQ(ToJson(*result)["mpi_own"].size(), 3u);
    }
  });
}

}  // namespace
}  // namespace orthant
