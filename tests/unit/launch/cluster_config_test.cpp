#include "orthant/launch/cluster_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kClusters = ORTHANT_SOURCE_DIR "/configs/clusters";

TEST(Clusters, EveryFileLoads) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kClusters)) {
    const auto cluster = LoadCluster(entry.path().string());
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    EXPECT_EQ(cluster->name, entry.path().stem().string());
    ++seen;
  }
  EXPECT_GE(seen, 5);
}

TEST(Clusters, CoresNearDevicesAreNobodysTwice) {
  for (const auto& entry : std::filesystem::directory_iterator(kClusters)) {
    const auto cluster = LoadCluster(entry.path().string());
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    std::set<int> taken;
    for (const Cores& cores : cluster->DeviceCores()) {
      for (const int core : cores) {
        EXPECT_TRUE(taken.insert(core).second) << entry.path() << ": core " << core;
        EXPECT_LT(core, cluster->node.cores) << entry.path();
      }
    }
  }
}

std::string Failure(const std::string& text) {
  const Folder folder;
  const auto cluster = LoadCluster(folder.Write("c.yaml", text));
  EXPECT_FALSE(cluster.ok());
  EXPECT_EQ(ExitCodeOf(cluster.status()), ExitCode::kConfiguration);
  return std::string(cluster.status().message());
}

TEST(Clusters, MistakesAreTold) {
  EXPECT_THAT(Failure("cluster: {name: x}\nnode: {gpu_s: 4}\n"),
              HasSubstr("c.yaml:2: unknown key 'node.gpu_s'; did you mean node.gpus?"));
  EXPECT_THAT(Failure("cluster: {scheduler: slurm}\n"), HasSubstr("cluster.name is missing"));
  EXPECT_THAT(Failure("cluster: {name: x}\nnode: {gpus: 1, device_cores: [\"7-0\"]}\n"),
              HasSubstr("node.device_cores: '7-0' is not a set of cores"));
  EXPECT_THAT(Failure("cluster: {name: x}\nnode: {gpus: 2, device_cores: [\"0-7\"]}\n"),
              HasSubstr("must be one for each of node.gpus = 2"));
  EXPECT_THAT(Failure("cluster: {name: x}\nlaunch: {environment: [NCCL_DEBUG]}\n"),
              HasSubstr("'NCCL_DEBUG' is not NAME=VALUE"));
  EXPECT_THAT(Failure("cluster: {name: x}\nsubmit: {queues: [\"debug nodes=2-1\"]}\n"),
              HasSubstr("'debug nodes=2-1' is not a queue's limit"));
}

TEST(FindCluster, ByNameOrPath) {
  const std::string self = ORTHANT_SOURCE_DIR "/build/any/orthant";
  const auto path = FindCluster("slurm", self);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_TRUE(std::filesystem::equivalent(*path, std::string(kClusters) + "/slurm.yaml"));
  EXPECT_THAT(std::string(FindCluster("polarsi", self).status().message()),
              AllOf(HasSubstr("--cluster polarsi: no such cluster; did you mean polaris? there are: "),
                    HasSubstr(", frontier, "), HasSubstr(", perlmutter, polaris, selene, slurm; or give")));
  EXPECT_EQ(FindCluster("gone/x.yaml", self).status().message(),
            "--cluster gone/x.yaml: there is no such file");
}

TEST(ClusterReference, HasEverySection) {
  const std::string page = ClusterReference();
  for (const char* section : {"## `cluster`", "## `node`", "## `launch`", "## `submit`", "## `performance`"})
    EXPECT_THAT(page, HasSubstr(section));
}

}  // namespace
}  // namespace orthant::testing
