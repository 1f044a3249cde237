// Names, factors, and the reading of --ops, --sizes, --mesh and --axis.
#include "orthant/bench/operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orthant/bench/comm_bench.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Message(const absl::Status& status) {
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration) << status;
  return std::string(status.message());
}

TEST(BenchOp, NamesReadBack) {
  for (const BenchOp op : kBenchOps) EXPECT_EQ(BenchOpNamed(BenchOpName(op)), op);
  EXPECT_EQ(BenchOpNamed("allreduce"), std::nullopt);
}

// doc/PERFORMANCE.md of nccl-tests, for 4 ranks.
TEST(BenchOp, BusFactorsAreThoseOfNcclTests) {
  EXPECT_DOUBLE_EQ(BusFactor(BenchOp::kAllReduce, 4), 1.5);
  for (const BenchOp op : {BenchOp::kAllGather, BenchOp::kReduceScatter, BenchOp::kAllToAll,
                           BenchOp::kAllToAllSplit, BenchOp::kGather, BenchOp::kScatter}) {
    EXPECT_DOUBLE_EQ(BusFactor(op, 4), 0.75) << BenchOpName(op);
  }
  for (const BenchOp op : {BenchOp::kBroadcast, BenchOp::kReduce, BenchOp::kSendRecv, BenchOp::kPingPong}) {
    EXPECT_DOUBLE_EQ(BusFactor(op, 4), 1.0) << BenchOpName(op);
  }
  EXPECT_DOUBLE_EQ(BusFactor(BenchOp::kAllReduce, 2), 1.0);
  EXPECT_DOUBLE_EQ(BusFactor(BenchOp::kBarrier, 2), 0.0);
}

TEST(ParseBenchOps, TakesListsAndAll) {
  EXPECT_THAT(*ParseBenchOps("all_reduce, barrier"), ElementsAre(BenchOp::kAllReduce, BenchOp::kBarrier));
  EXPECT_EQ(ParseBenchOps("all")->size(), static_cast<size_t>(kBenchOpCount));
  EXPECT_THAT(Message(ParseBenchOps("all_reduse").status()),
              HasSubstr("'all_reduse' is no operation; did you mean all_reduce?"));
  EXPECT_THAT(Message(ParseBenchOps("gather,gather").status()), HasSubstr("gather stands there twice"));
  EXPECT_THAT(Message(ParseBenchOps("").status()), HasSubstr("'' is no operation"));
}

TEST(ParseBenchSizes, RangesGoUpByFour) {
  EXPECT_THAT(*ParseBenchSizes("4KiB..1MiB", 8, ""), ElementsAre(4096, 16384, 65536, 262144, 1048576));
  EXPECT_THAT(*ParseBenchSizes("4KiB..8KiB", 8, ""), ElementsAre(4096, 8192));
  EXPECT_THAT(*ParseBenchSizes("64 KiB,4096,4KiB..16KiB", 8, ""), ElementsAre(4096, 16384, 65536));
}

TEST(ParseBenchSizes, RefusesWhatDoesNotFit) {
  EXPECT_THAT(
      Message(ParseBenchSizes("100", 8, "an element of fp32 for each of 2 ranks").status()),
      HasSubstr("100 must be a positive multiple of 8 bytes, an element of fp32 for each of 2 ranks; nearest "
                "legal: 96 or 104 bytes"));
  EXPECT_THAT(Message(ParseBenchSizes("0", 8, "").status()), HasSubstr("positive"));
  EXPECT_THAT(Message(ParseBenchSizes("-8", 8, "").status()), HasSubstr("positive"));
  EXPECT_THAT(Message(ParseBenchSizes("big", 8, "").status()), HasSubstr("'big' is not a size in bytes"));
  EXPECT_THAT(Message(ParseBenchSizes("1MiB..4KiB", 8, "").status()), HasSubstr("goes down"));
  EXPECT_THAT(Message(ParseBenchSizes("4KiB..", 8, "").status()), HasSubstr("not a size"));
}

TEST(DefaultBenchSizes, AreMultiplesOfTheUnit) {
  EXPECT_THAT(DefaultBenchSizes(8),
              ElementsAre(4096, 16384, 65536, 262144, 1 << 20, 4 << 20, 16 << 20, 64 << 20));
  for (const int64_t size : DefaultBenchSizes(12)) EXPECT_EQ(size % 12, 0);
  EXPECT_EQ(DefaultBenchSizes(12).front(), 4092);
  EXPECT_EQ(DefaultBenchSizes(10000).front(), 10000) << "what is below the unit becomes it, once";
  EXPECT_EQ(DefaultBenchSizes(10000)[1], 60000);
}

TEST(ParseBenchMesh, ReadsDegrees) {
  EXPECT_EQ(*ParseBenchMesh("data=2,tensor=4"), (Degrees{.data = 2, .tensor = 4}));
  EXPECT_THAT(Message(ParseBenchMesh("tenser=4").status()),
              HasSubstr("'tenser' is no axis; did you mean tensor?"));
  EXPECT_THAT(Message(ParseBenchMesh("data=0").status()), HasSubstr("the degree of data is '0'"));
  EXPECT_THAT(Message(ParseBenchMesh("data").status()), HasSubstr("the degree of data is ''"));
  EXPECT_THAT(Message(ParseBenchMesh("data=2,data=2").status()), HasSubstr("data stands there twice"));
  EXPECT_THAT(Message(ParseBenchMesh("data=1048576,tensor=4").status()), HasSubstr("is 4194304 ranks"));
}

std::vector<std::string> AxisNames(const std::string& text, const Degrees& degrees) {
  std::vector<std::string> names;
  const auto axes = ParseBenchAxes(text, degrees);
  EXPECT_TRUE(axes.ok()) << axes.status();
  for (const BenchAxis& axis : *axes) names.push_back(axis.name);
  return names;
}

TEST(ParseBenchAxes, AllIsWhatCommunicates) {
  EXPECT_THAT(AxisNames("all", {.data = 2, .tensor = 4}), ElementsAre("data", "tensor", "world"));
  EXPECT_THAT(AxisNames("all", {.data = 4}), ElementsAre("data")) << "the world is the same ranks";
  EXPECT_THAT(AxisNames("all", {.data = 2, .pipeline = 2, .sequence = 2}),
              ElementsAre("data", "pipeline", "sequence", "data_sequence", "world"));
  EXPECT_THAT(AxisNames("tensor,world", {.data = 2, .tensor = 4}), ElementsAre("tensor", "world"));
}

TEST(ParseBenchAxes, RefusesAxesOfOneRank) {
  const Degrees degrees{.data = 2};
  EXPECT_THAT(
      Message(ParseBenchAxes("tensor", degrees).status()),
      HasSubstr("--axis tensor: the mesh (data=2 tensor=1 pipeline=1 sequence=1) has one rank along it"));
  EXPECT_THAT(Message(ParseBenchAxes("dta", degrees).status()), HasSubstr("did you mean data?"));
  EXPECT_THAT(Message(ParseBenchAxes("data,data", degrees).status()), HasSubstr("twice"));
  EXPECT_THAT(Message(ParseBenchAxes("all", Degrees{}).status()), HasSubstr("the mesh has one rank"));
}

TEST(BenchSizeUnit, IsAnElementOfEveryRankOfEveryAxis) {
  const Degrees degrees{.data = 2, .tensor = 3};
  const Mesh mesh(degrees);
  EXPECT_EQ(BenchSizeUnit(*ParseBenchAxes("tensor", degrees), mesh, 4), 12);
  EXPECT_EQ(BenchSizeUnit(*ParseBenchAxes("data,tensor", degrees), mesh, 4), 24);
  EXPECT_EQ(BenchSizeUnit(*ParseBenchAxes("all", degrees), mesh, 2), 12);
}

}  // namespace
}  // namespace orthant
