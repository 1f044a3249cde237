#include "orthant/checkpoint/step_folders.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"
#include "support/checkpoint_state.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

void Write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

TEST(StepFolders, NamesAndSteps) {
  EXPECT_EQ(StepName(340), "step_00000340");
  EXPECT_EQ(StepName(1234567890), "step_1234567890");
  const TempFolder temp;
  EXPECT_THAT(StepsIn(temp / "no"), IsEmpty());
  for (const char* name : {"step_00000340", "step_00000002", "step_1234567890", "step_340", "step_x",
                           ".step_00000007.writing", "step_00000008.old", "step_-0000001"}) {
    fs::create_directory(temp / name);
  }
  Write(temp / "step_00000009", "a file");
  EXPECT_THAT(StepsIn(temp.path()), ElementsAre(1234567890, 340, 2));
}

TEST(StepFolders, LatestIsAStepThatIsThere) {
  const TempFolder temp;
  EXPECT_EQ(LatestStep(temp.path()), -1);
  Write(temp / "latest", "step_00000340\n");
  EXPECT_EQ(LatestStep(temp.path()), -1);
  fs::create_directory(temp / "step_00000340");
  EXPECT_EQ(LatestStep(temp.path()), 340);
  for (const char* text : {"", "\n", "../x", "step_340", "step_00000341"}) {
    Write(temp / "latest", text);
    EXPECT_EQ(LatestStep(temp.path()), -1) << text;
  }
}

TEST(StepFolders, ResolveTakesAStepCheckpointsOrARun) {
  const TempFolder temp;
  const std::string checkpoints = temp / "checkpoints", step = checkpoints + "/step_00000340";
  Write(step + "/manifest.json", "{}");
  Write(checkpoints + "/latest", "step_00000340\n");
  for (const std::string& path : {step, step + "/", checkpoints, checkpoints + "//", temp.path()}) {
    const absl::StatusOr<std::string> resolved = ResolveCheckpoint(path);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(*resolved, step);
  }
}

TEST(StepFolders, ResolveSaysWhatIsThere) {
  const TempFolder temp;
  const auto message = [](const std::string& path) {
    const absl::StatusOr<std::string> resolved = ResolveCheckpoint(path);
    EXPECT_EQ(ExitCodeOf(resolved.status()), ExitCode::kData);
    return std::string(resolved.status().message());
  };
  EXPECT_THAT(message(temp / "no"), HasSubstr("there is no such folder"));
  EXPECT_THAT(message(temp.path()), HasSubstr("holds no checkpoint"));
  fs::create_directories(temp / "checkpoints/step_00000004");
  fs::create_directories(temp / "checkpoints/step_00000002");
  EXPECT_THAT(message(temp.path()),
              AllOf(HasSubstr("latest: is missing"), HasSubstr("step_00000004, step_00000002")));
  EXPECT_THAT(message(temp / "checkpoints/step_00000004"), HasSubstr("manifest.json is missing"));
}

TEST(StepFolders, KeepsTheLastAndEveryNth) {
  EXPECT_THAT(StepsToRemove({10, 20, 30, 40, 50}, 50, 2, 0), UnorderedElementsAre(10, 20, 30));
  EXPECT_THAT(StepsToRemove({50, 10, 30, 20, 40}, 50, 1, 20), UnorderedElementsAre(10, 30));
  EXPECT_THAT(StepsToRemove({10, 20}, 20, 5, 0), IsEmpty());
  EXPECT_THAT(StepsToRemove({10, 20}, 20, 0, 0), ElementsAre(10));  // the newest stays
  EXPECT_THAT(StepsToRemove({0, 10, 20}, 20, 1, 100), ElementsAre(10));
  EXPECT_THAT(StepsToRemove({}, 20, 2, 0), IsEmpty());
  // A run that came back from step 10: what lies ahead stays until it is there.
  EXPECT_THAT(StepsToRemove({5, 10, 15, 20, 30}, 15, 2, 0), ElementsAre(5));
}

TEST(StepFolders, CleanUpRemovesWhatIsUnfinishedAndNothingElse) {
  const TempFolder temp;
  EXPECT_TRUE(CleanUp(temp / "no").ok());
  Write(temp / "step_00000002/manifest.json", "2");
  Write(temp / ".step_00000003.writing/shard", "");
  Write(temp / ".step_00000001.removing/shard", "");
  Write(temp / ".step_00000002.replaced/manifest.json", "old");
  Write(temp / ".step_00000004.replaced/manifest.json", "4");  // set aside, and its successor never came
  Write(temp / "latest", "step_00000002\n");
  Write(temp / "latest.tmp.77.0", "");
  Write(temp / ".hidden", "a user's");
  Write(temp / ".step_00000009", "a user's");
  Write(temp / "notes.txt", "a user's");
  ASSERT_TRUE(CleanUp(temp.path()).ok());
  EXPECT_THAT(Names(temp.path()), UnorderedElementsAre("step_00000002", "step_00000004", "latest", ".hidden",
                                                       ".step_00000009", "notes.txt"));
  std::ifstream kept(temp / "step_00000002/manifest.json");
  EXPECT_EQ(kept.get(), '2');
}

}  // namespace
}  // namespace orthant::testing
