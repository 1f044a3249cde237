#include "cli/run_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

TEST(LastStep, IsThatOfTheLastWholeLine) {
  const Folder folder;
  const auto last = [&](const std::string& text) { return LastStepOf(folder.Write("metrics.jsonl", text)); };
  EXPECT_EQ(LastStepOf(folder / "none.jsonl"), 0);
  EXPECT_EQ(last(""), 0);
  EXPECT_EQ(last("{\"step\": 1}\n"), 1);
  EXPECT_EQ(last("{\"step\": 1}\n{\"step\": 2, \"loss\": 1.5}\n"), 2);
  EXPECT_EQ(last("{\"step\": 1}\n{\"step\": 2}"), 1) << "cut off, even where it can be read";
  EXPECT_EQ(last("{\"step\": 1}\n{\"st\n"), 1);
  EXPECT_EQ(last("{\"step\": 1}\n\n"), 1);
  EXPECT_EQ(last("\n"), 0);
  EXPECT_EQ(last("[1]\n{\"step\": \"7\"}\n"), 0);
}

TEST(LastStep, OfALongFile) {
  const Folder folder;
  std::string text;
  for (int step = 1; step <= 5000; ++step) {
    text += "{\"step\": " + std::to_string(step) + ", \"loss\": 2.25, \"padding\": \"" +
            std::string(100, 'x') + "\"}\n";
  }
  EXPECT_EQ(LastStepOf(folder.Write("metrics.jsonl", text)), 5000);
}

TEST(RunWatch, ReadsStepCheckpointAndVerdict) {
  const Folder folder;
  RunWatch watch(folder / "run");
  RunProgress progress = watch.Read();
  EXPECT_EQ(progress.last_step, 0);
  EXPECT_EQ(progress.checkpoint_step, -1);
  EXPECT_EQ(progress.verdict, "");
  folder.Write("run/metrics.jsonl", "{\"step\": 7}\n");
  folder.Write("run/checkpoints/step_00000005/manifest.json", "{}");
  folder.Write("run/checkpoints/latest", "step_00000005\n");
  folder.Write("run/flight/verdict.json", "{\"text\": \"rank 3 is dead\"}");
  progress = watch.Read();
  EXPECT_EQ(progress.last_step, 7);
  EXPECT_EQ(progress.checkpoint_step, 5);
  EXPECT_EQ(progress.verdict, "rank 3 is dead");
}

TEST(RunWatch, TellsAVerdictOnce) {
  const Folder folder;
  const std::string file = folder.Write("flight/verdict.json", "{\"text\": \"rank 3 is dead\"}");
  RunWatch watch(folder / "");
  EXPECT_EQ(watch.Read().verdict, "rank 3 is dead");
  EXPECT_EQ(watch.Read().verdict, "") << "it is of the failure before";
  folder.Write("flight/verdict.json", "{\"text\": \"rank 3 is dead\"}");
  std::filesystem::last_write_time(file, std::filesystem::last_write_time(file) + std::chrono::seconds(1));
  EXPECT_EQ(watch.Read().verdict, "rank 3 is dead") << "the same again";
  folder.Write("flight/verdict.json", "{damaged");
  std::filesystem::last_write_time(file, std::filesystem::last_write_time(file) + std::chrono::seconds(2));
  EXPECT_EQ(watch.Read().verdict, "");
}

}  // namespace
}  // namespace orthant::testing
