#include "orthant/train/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "orthant/core/status.h"
#include "orthant/train/run_config.h"
#include "unit/data/folder.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LoadedConfig Config(const std::vector<std::string>& overrides = {}) {
  RunConfig config;
  auto loaded = LoadConfigFromText("model: {layers: 2, heads: 2, hidden: 32}\ntrain: {steps: 10}\n",
                                   "run.yaml", overrides, [&](Fields& fields) { Describe(fields, config); });
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  return *std::move(loaded);
}

// Prepares the folder and wants it to work; true when an earlier start was found there.
bool Prepare(const std::string& path, const LoadedConfig& config) {
  bool restarted = true;
  const absl::Status status = PrepareRunFolder(path, config, &restarted);
  EXPECT_TRUE(status.ok()) << status.message();
  return restarted;
}

absl::Status Refusal(const std::string& path, const LoadedConfig& config) {
  bool restarted = false;
  return PrepareRunFolder(path, config, &restarted);
}

TEST(PrepareRunFolder, MakesANewOneWithItsParents) {
  const testing::Folder folder;
  EXPECT_FALSE(Prepare(folder / "deep/down/run", Config()));
  RunConfig stored;
  const auto loaded =
      LoadConfig(folder / "deep/down/run/config.yaml", {}, [&](Fields& f) { Describe(f, stored); });
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(stored.model.layers, 2);
  EXPECT_EQ(stored.train.steps, 10);
  EXPECT_TRUE(loaded->Diff(Config()).empty()) << "the stored configuration is the run's";
}

TEST(PrepareRunFolder, TakesAnEmptyOne) {
  const testing::Folder folder;
  EXPECT_FALSE(Prepare(folder / "", Config()));
  EXPECT_TRUE(folder.Has("config.yaml"));
}

TEST(PrepareRunFolder, TheSameRunStartsAgainOnAnotherMesh) {
  const testing::Folder folder;
  const std::string run = folder / "run";
  EXPECT_FALSE(Prepare(run, Config()));
  EXPECT_FALSE(Prepare(run, Config())) << "it never got to a step";
  folder.Write("run/metrics.jsonl", "{\"step\": 1}\n");
  folder.Write("run/samples.txt", "text");
  EXPECT_TRUE(Prepare(run, Config({"parallel.tensor=2", "parallel.zero=3", "zero.shard_ranks=1",
                                   "zero.offload.parameters=host", "zero.tile_bytes=1 MiB",
                                   "memory.recompute=full", "memory.limit=2 GiB", "comm.backend=local",
                                   "log.every=7", "run.dir=elsewhere", "train.threads_per_rank=3"})));
  EXPECT_FALSE(folder.Has("run/metrics.jsonl"));
  EXPECT_EQ(folder.Read("run/metrics.jsonl.old"), "{\"step\": 1}\n");
  EXPECT_EQ(folder.Read("run/samples.txt.old"), "text");
  EXPECT_THAT(folder.Read("run/config.yaml"), HasSubstr("tensor: 2"));
}

TEST(PrepareRunFolder, AnotherRunIsRefusedAndItsKeysListed) {
  const testing::Folder folder;
  const std::string run = folder / "run";
  Prepare(run, Config());
  folder.Write("run/metrics.jsonl", "precious");
  const std::string before = folder.Read("run/config.yaml");
  const absl::Status status = Refusal(run, Config({"model.layers=4", "run.seed=5", "parallel.data=2"}));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("run.dir = " + run + " already holds another run; these keys differ:"));
  EXPECT_THAT(text, HasSubstr("\n  model.layers: 2 there, 4 here"));
  EXPECT_THAT(text, HasSubstr("\n  run.seed: 1337 there, 5 here"));
  EXPECT_THAT(text, Not(HasSubstr("parallel")));
  EXPECT_EQ(folder.Read("run/metrics.jsonl"), "precious") << "a refusal touches nothing";
  EXPECT_EQ(folder.Read("run/config.yaml"), before);
}

TEST(PrepareRunFolder, ForeignFilesAreRefused) {
  const testing::Folder folder;
  folder.Write("home/thesis.tex", "years of work");
  const absl::Status status = Refusal(folder / "home", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()), HasSubstr("holds files but no config.yaml"));
  EXPECT_FALSE(folder.Has("home/config.yaml"));
}

TEST(PrepareRunFolder, AConfigurationThatCannotBeReadIsDamage) {
  const testing::Folder folder;
  folder.Write("run/config.yaml", "model: {layers: [");
  const absl::Status status = Refusal(folder / "run", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
  EXPECT_THAT(std::string(status.message()), HasSubstr("run/config.yaml cannot be read"));
  EXPECT_EQ(folder.Read("run/config.yaml"), "model: {layers: [");
}

TEST(PrepareRunFolder, AFileInItsPlaceIsRefused) {
  const testing::Folder folder;
  const std::string file = folder.Write("run", "not a folder");
  const absl::Status status = Refusal(file, Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_EQ(std::string(status.message()), "run.dir = " + file + " is a file; a run needs a folder");
  EXPECT_EQ(folder.Read("run"), "not a folder");
}

TEST(PrepareRunFolder, AParentThatIsAFileIsRefused) {
  const testing::Folder folder;
  folder.Write("parent", "not a folder");
  const absl::Status status = Refusal(folder / "parent/run", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()), HasSubstr("parent"));
}

TEST(PrepareRunFolder, AParentThatCannotBeWrittenIsRefused) {
  // Nobody, root included, makes folders in /proc.
  const absl::Status status = Refusal("/proc/orthant-run", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/proc/orthant-run"));
}

TEST(PrepareRunFolder, AFolderThatCannotBeReadIsRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  const testing::Folder folder;
  std::filesystem::create_directory(folder / "run");
  std::filesystem::permissions(folder / "run", std::filesystem::perms::none);
  const absl::Status status = Refusal(folder / "run", Config());
  std::filesystem::permissions(folder / "run", std::filesystem::perms::owner_all);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
}

}  // namespace
}  // namespace orthant
