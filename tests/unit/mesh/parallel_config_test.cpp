#include "orthant/mesh/parallel_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ErrorOf(const ParallelConfig& config, int64_t world) {
  const auto mesh = MakeMesh(config, world);
  EXPECT_FALSE(mesh.ok());
  EXPECT_EQ(ExitCodeOf(mesh.status()), ExitCode::kConfiguration);
  return std::string(mesh.status().message());
}

TEST(MakeMesh, FollowsDegreesAndOrder) {
  ParallelConfig config{.data = 2, .tensor = 3};
  config.order = {"tensor", "data", "sequence", "pipeline"};
  const auto mesh = MakeMesh(config, 6);
  ASSERT_TRUE(mesh.ok()) << mesh.status();
  EXPECT_EQ(mesh->RankAt({.tensor = 1}), 2);
  EXPECT_EQ(mesh->RankAt({.data = 1}), 1);
}

TEST(MakeMesh, ProductMismatchSaysTheArithmeticAndTheNearestDegrees) {
  EXPECT_THAT(ErrorOf({.data = 2, .tensor = 3}, 4),
              AllOf(HasSubstr("data 2 x tensor 3 x pipeline 1 x sequence 1 = 6 ranks, but the world has 4:"),
                    HasSubstr("Nearest legal: parallel.tensor=2;"), HasSubstr("start 6 ranks")));
  EXPECT_THAT(ErrorOf({.data = 3, .tensor = 3}, 4),
              HasSubstr("Nearest legal: parallel.data=2 parallel.tensor=2;"));
  EXPECT_THAT(ErrorOf({}, 2), HasSubstr("= 1 rank, but the world has 2"));
}

TEST(MakeMesh, HugeDegreesDoNotOverflow) {
  const int big = 2147483647;
  EXPECT_THAT(ErrorOf({.data = big, .tensor = big, .pipeline = big, .sequence = big}, 4),
              HasSubstr("more ranks than any world has"));
}

TEST(MakeMesh, RefusesDegreesBelowOne) {
  EXPECT_THAT(ErrorOf({.data = 0}, 1), HasSubstr("parallel.data is 0"));
  EXPECT_THAT(ErrorOf({.pipeline = -2}, 1), HasSubstr("parallel.pipeline is -2"));
  EXPECT_THAT(ErrorOf({}, 0), HasSubstr("world of 0 ranks"));
}

TEST(MakeMesh, OrderMustBeAPermutation) {
  ParallelConfig config;
  config.order = {"pipeline", "data", "tensor"};
  EXPECT_THAT(ErrorOf(config, 1), HasSubstr("it names 3."));
  config.order = {"pipeline", "data", "tensor", "data"};
  EXPECT_THAT(ErrorOf(config, 1),
              AllOf(HasSubstr("[pipeline, data, tensor, data]"), HasSubstr("'data' stands there twice")));
  config.order = {"pipeline", "data", "tensor", "context"};
  EXPECT_THAT(ErrorOf(config, 1), HasSubstr("'context' is not an axis"));
}

TEST(NearestDegrees, AreLegalForEveryWorld) {
  for (int64_t world = 1; world <= 64; ++world) {
    for (const Degrees& degrees :
         {Degrees{3, 5, 2, 1}, Degrees{7, 7, 7, 7}, Degrees{2, 2, 2, 2}, Degrees{1, 1, 1, 1}}) {
      EXPECT_EQ(NearestDegrees(degrees, world).world(), world) << ToString(degrees) << " world " << world;
    }
  }
  EXPECT_EQ(NearestDegrees({2, 2, 2, 2}, 16), (Degrees{2, 2, 2, 2}));
}

}  // namespace
}  // namespace orthant
