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

// Opens the folder and wants it to work.
RunFolder Opened(const std::string& path, const LoadedConfig& config) {
  absl::StatusOr<RunFolder> opened = RunFolder::Open(path, config);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return opened.ok() ? *std::move(opened) : RunFolder();
}

absl::Status Refusal(const std::string& path, const LoadedConfig& config) {
  return RunFolder::Open(path, config).status();
}

TEST(RunFolder, MakesANewOneWithItsParents) {
  const testing::Folder folder;
  Opened(folder / "deep/down/run", Config());
  RunConfig stored;
  const auto loaded =
      LoadConfig(folder / "deep/down/run/config.yaml", {}, [&](Fields& f) { Describe(f, stored); });
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(stored.model.layers, 2);
  EXPECT_EQ(stored.train.steps, 10);
  EXPECT_TRUE(loaded->Diff(Config()).empty()) << "the stored configuration is the run's";
}

TEST(RunFolder, TakesAnEmptyOne) {
  const testing::Folder folder;
  Opened(folder / "", Config());
  EXPECT_TRUE(folder.Has("config.yaml"));
}

TEST(RunFolder, TheSameRunMayGoOnOnAnotherMesh) {
  const testing::Folder folder;
  const std::string run = folder / "run";
  Opened(run, Config());
  Opened(run,
         Config({"parallel.tensor=2", "parallel.zero=3", "zero.shard_ranks=1", "zero.offload.parameters=host",
                 "zero.tile_bytes=1 MiB", "memory.recompute=full", "memory.limit=2 GiB",
                 "train.micro_batch=1", "comm.backend=local", "log.every=7", "run.dir=elsewhere",
                 "train.threads_per_rank=3", "train.dtype=bf16", "train.stop_at=4", "checkpoint.every=2"}));
  EXPECT_THAT(folder.Read("run/config.yaml"), HasSubstr("tensor: 2"));
}

TEST(RunFolder, InUseIsRefused) {
  const testing::Folder folder;
  const std::string run = folder / "run";
  {
    const RunFolder first = Opened(run, Config());
    const absl::Status status = Refusal(run, Config());
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
    EXPECT_THAT(std::string(status.message()), HasSubstr("is in use by process " + std::to_string(getpid())));
  }
  Opened(run, Config());
}

TEST(RunFolder, OldFilesAreKept) {
  const testing::Folder folder;
  folder.Write("metrics.jsonl", "{\"step\": 1}\n");
  folder.Write("samples.txt", "text");
  EXPECT_TRUE(KeepOldFiles(folder / "").ok());
  EXPECT_FALSE(folder.Has("metrics.jsonl"));
  EXPECT_EQ(folder.Read("metrics.jsonl.old"), "{\"step\": 1}\n");
  EXPECT_EQ(folder.Read("samples.txt.old"), "text");
}

TEST(RunFolder, SamplesAreCutBack) {
  const testing::Folder folder;
  const std::string first = "--- step 2\nprompt: a\nresponse:\nab --- step 9\n";
  const std::string all = first + "--- step 4\nprompt: a\nresponse:\nabc\n";
  const std::string path = folder.Write("samples.txt", all);
  EXPECT_TRUE(CutSamples(path, 4).ok());
  EXPECT_EQ(folder.Read("samples.txt"), all);
  EXPECT_TRUE(CutSamples(path, 3).ok());
  EXPECT_EQ(folder.Read("samples.txt"), first);
  EXPECT_TRUE(CutSamples(folder / "none.txt", 3).ok());
}

TEST(RunFolder, AnotherRunIsRefusedAndItsKeysListed) {
  const testing::Folder folder;
  const std::string run = folder / "run";
  Opened(run, Config());
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

TEST(RunFolder, ForeignFilesAreRefused) {
  const testing::Folder folder;
  folder.Write("home/thesis.tex", "years of work");
  const absl::Status status = Refusal(folder / "home", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()), HasSubstr("holds files but no config.yaml"));
  EXPECT_FALSE(folder.Has("home/config.yaml"));
}

TEST(RunFolder, AConfigurationThatCannotBeReadIsDamage) {
  const testing::Folder folder;
  folder.Write("run/config.yaml", "model: {layers: [");
  const absl::Status status = Refusal(folder / "run", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
  EXPECT_THAT(std::string(status.message()), HasSubstr("run/config.yaml cannot be read"));
  EXPECT_EQ(folder.Read("run/config.yaml"), "model: {layers: [");
}

TEST(RunFolder, AFileInItsPlaceIsRefused) {
  const testing::Folder folder;
  const std::string file = folder.Write("run", "not a folder");
  const absl::Status status = Refusal(file, Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_EQ(std::string(status.message()), "run.dir = " + file + " is a file; a run needs a folder");
  EXPECT_EQ(folder.Read("run"), "not a folder");
}

TEST(RunFolder, AParentThatIsAFileIsRefused) {
  const testing::Folder folder;
  folder.Write("parent", "not a folder");
  const absl::Status status = Refusal(folder / "parent/run", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()), HasSubstr("parent"));
}

TEST(RunFolder, AParentThatCannotBeWrittenIsRefused) {
  // Nobody, root included, makes folders in /proc.
  const absl::Status status = Refusal("/proc/orthant-run", Config());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/proc/orthant-run"));
}

TEST(RunFolder, AFolderThatCannotBeReadIsRefused) {
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
