#include <filesystem>
#include <fstream>
#include <string>

#include "config_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/config/config.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ConfigInclude : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(::testing::TempDir()) / (std::string("orthant_include_") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "models");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  absl::StatusOr<LoadedConfig> Load(const std::string& path) {
    return LoadConfig(path, {}, [this](Fields& f) { Describe(f, config_); });
  }

  fs::path folder_;
  SampleConfig config_;  // what Load fills
};

TEST_F(ConfigInclude, MergesInOrderAndTheIncludingFileWins) {
  Write("models/a.yaml", "model: {layers: 1, heads: 1, dropout: 0.1}\n");
  Write("models/b.yaml", "model: {layers: 2, heads: 2}\n");
  const std::string path = Write("run.yaml", "model: {layers: 3}\ninclude: [models/a.yaml, models/b.yaml]\n");
  const auto loaded = Load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(config_.layers, 3);
  EXPECT_EQ(config_.heads, 2);
  EXPECT_DOUBLE_EQ(config_.dropout, 0.1);
  EXPECT_EQ(loaded->OriginOf("model.layers"), path + ":1");
  EXPECT_EQ(loaded->OriginOf("model.heads"), (folder_ / "models/b.yaml").string() + ":1");
}

TEST_F(ConfigInclude, IsRelativeToTheFileThatNamesIt) {
  Write("models/inner.yaml", "model: {layers: 7}\n");
  Write("models/outer.yaml", "include: inner.yaml\n");
  ASSERT_TRUE(Load(Write("run.yaml", "include: models/outer.yaml\n")).ok());
  EXPECT_EQ(config_.layers, 7);
}

TEST_F(ConfigInclude, TheSameFileTwiceIsNoCycle) {
  Write("base.yaml", "model: {layers: 7}\n");
  Write("a.yaml", "include: base.yaml\n");
  Write("b.yaml", "include: base.yaml\n");
  EXPECT_TRUE(Load(Write("run.yaml", "include: [a.yaml, b.yaml]\n")).ok());
}

TEST_F(ConfigInclude, CyclesAreErrors) {
  const std::string a = Write("a.yaml", "\ninclude: b.yaml\n");
  const std::string b = Write("b.yaml", "include:\n  - a.yaml\n");
  const auto loaded = Load(a);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(ExitCodeOf(loaded.status()), ExitCode::kConfiguration);
  EXPECT_THAT(std::string(loaded.status().message()),
              AllOf(StartsWith(b + ":2: include: "), HasSubstr("includes itself: "), HasSubstr(" -> ")));
}

TEST_F(ConfigInclude, MissingFilesAreErrorsWithTheLineThatNamesThem) {
  const std::string path = Write("run.yaml", "model: {}\ninclude: [nothing.yaml]\n");
  const auto loaded = Load(path);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().message(), path + ":2: include: " + (folder_ / "nothing.yaml").string() +
                                           ": cannot be opened: No such file or directory");
  const auto absent = Load("no/such.yaml");
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.status().message(), "no/such.yaml: cannot be opened: No such file or directory");
  EXPECT_EQ(ExitCodeOf(absent.status()), ExitCode::kConfiguration);
}

TEST_F(ConfigInclude, MistakesInsideAreToldWithTheIncludedFile) {
  const std::string inner = Write("inner.yaml", "\nmodel: {layrs: 7}\n");
  const auto loaded = Load(Write("run.yaml", "include: inner.yaml\n"));
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().message(), inner + ":2: unknown key 'model.layrs'; did you mean model.layers?");
}

TEST_F(ConfigInclude, MustBeAFileOrAList) {
  const std::string path = Write("run.yaml", "include: {a: b}\n");
  const auto loaded = Load(path);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().message(),
            path + ":1: include: must be a file or a list of files, as [models/gpt2-124m.yaml]");
}

}  // namespace
}  // namespace orthant::testing
