#include "orthant/pipeline_parallel/partition.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int64_t> Split(int64_t layers, int64_t stages, double embedding = 0, double head = 0) {
  const auto split = PartitionLayers(layers, stages, embedding, head);
  EXPECT_TRUE(split.ok()) << split.status();
  return split.ok() ? *split : std::vector<int64_t>{};
}

TEST(PartitionLayers, EvenAndUneven) {
  EXPECT_THAT(Split(8, 4), ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(Split(30, 4), ElementsAre(7, 7, 8, 8));
  EXPECT_THAT(Split(5, 1), ElementsAre(5));
  EXPECT_THAT(Split(3, 3), ElementsAre(1, 1, 1));
}

TEST(PartitionLayers, WeighsEmbeddingAndHead) {
  EXPECT_THAT(Split(10, 3, 0, 2), ElementsAre(4, 4, 2));
  EXPECT_THAT(Split(10, 3, 1, 1), ElementsAre(3, 4, 3));
  // A head dearer than everything still leaves one layer on its stage.
  EXPECT_THAT(Split(6, 2, 0, 100), ElementsAre(5, 1));
}

TEST(PartitionLayers, IsOptimalByExhaustiveSearch) {
  for (double embedding : {0.0, 0.3, 1.0, 2.5}) {
    for (double head : {0.0, 0.7, 2.0, 5.0}) {
      for (int stages = 1; stages <= 4; ++stages) {
        for (int layers = stages; layers <= 10; ++layers) {
          const auto cost = [&](const std::vector<int64_t>& split) {
            std::vector<double> costs(split.begin(), split.end());
            costs.front() += embedding;
            costs.back() += head;
            return std::pair(*std::max_element(costs.begin(), costs.end()),
                             std::inner_product(costs.begin(), costs.end(), costs.begin(), 0.0));
          };
          std::pair<double, double> best{1e9, 1e9};
          std::vector<int64_t> split;
          const std::function<void(int, int)> search = [&](int stage, int left) {
            if (stage == stages - 1) {
              split.push_back(left);
              best = std::min(best, cost(split));
              split.pop_back();
              return;
            }
            for (int n = 1; n <= left - (stages - 1 - stage); ++n) {
              split.push_back(n);
              search(stage + 1, left - n);
              split.pop_back();
            }
          };
          search(0, layers);
          const auto found = cost(Split(layers, stages, embedding, head));
          ASSERT_NEAR(found.first, best.first, 1e-9)
              << layers << "/" << stages << " " << embedding << " " << head;
          ASSERT_NEAR(found.second, best.second, 1e-9)
              << layers << "/" << stages << " " << embedding << " " << head;
        }
      }
    }
  }
}

TEST(PartitionLayers, MoreStagesThanLayersNamesTheLegalDegrees) {
  const auto split = PartitionLayers(4, 6, 0, 0);
  ASSERT_FALSE(split.ok());
  EXPECT_EQ(ExitCodeOf(split.status()), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(split.status().message()),
              AllOf(HasSubstr("model.layers = 4 over parallel.pipeline = 6"),
                    HasSubstr("nearest legal: parallel.pipeline = 4 (1 to 4)")));
  EXPECT_FALSE(PartitionLayers(4, 0, 0, 0).ok());
  EXPECT_FALSE(PartitionLayers(0, 1, 0, 0).ok());
  EXPECT_FALSE(PartitionLayers(4, 2, -1, 0).ok());
}

TEST(ValidateStages, AcceptsExactlyTheLegalLists) {
  EXPECT_TRUE(ValidateStages({3, 4, 3}, 10, 3).ok());
  const auto error = [](std::vector<int64_t> list, int64_t layers, int64_t stages) {
    const absl::Status status = ValidateStages(list, layers, stages);
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
    return std::string(status.message());
  };
  EXPECT_THAT(error({3, 4}, 10, 3), AllOf(HasSubstr("[3, 4] lists 2 stages, but parallel.pipeline = 3"),
                                          HasSubstr("legal: [3, 3, 4]")));
  EXPECT_THAT(error({3, 4, 4}, 10, 3), HasSubstr("holds 11 layers, but model.layers = 10"));
  EXPECT_THAT(error({0, 5, 5}, 10, 3), HasSubstr("gives stage 0 0 layers; each needs 1 to 8"));
  EXPECT_THAT(error({-9223372036854775807, 5, 5}, 10, 3), HasSubstr("gives stage 0"));
}

}  // namespace
}  // namespace orthant
