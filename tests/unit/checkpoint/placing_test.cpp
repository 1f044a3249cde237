// Killed at any stage of putting a checkpoint in place: the old one or the new one is whole.
#include "checkpoint/placing.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "checkpoint/shard.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "support/checkpoint_state.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kStages[] = {"manifest", "rename", "sync", "latest", "prune", "done"};

class Placing : public ::testing::Test {
 protected:
  // What a save of `value` leaves once its shard is written.
  CheckpointManifest Write(int64_t step, float value) {
    const at::Tensor values = at::full({100}, value);
    StatePiece piece;
    piece.tensor = "w";
    piece.shape = {100};
    piece.portion = WholeOf({100});
    ShardLayout layout(ShardName(0, 1), step, {piece});
    std::string image(static_cast<size_t>(layout.bytes()), '\0');
    layout.header().copy(image.data(), layout.header().size());
    std::memcpy(image.data() + layout.offset(0), values.data_ptr(), values.nbytes());
    layout.Hash(std::as_bytes(std::span(image)));
    const std::string folder = WritingFolder(temp_.path(), step);
    EXPECT_TRUE(MakeDirectories(folder).ok());
    EXPECT_TRUE(WriteFileAtomically(folder + "/" + layout.name(), image).ok());
    return layout.ToManifest(step);
  }
  // The value that the latest checkpoint holds; -1: there is none. It must be whole.
  float Latest() {
    const int64_t step = LatestStep(temp_.path());
    if (step < 0) return -1;
    auto reader = CheckpointReader::Open(temp_ / StepName(step));
    EXPECT_TRUE(reader.ok()) << reader.status();
    const at::Tensor values = at::zeros({100});
    if (!reader.ok()) return -2;
    const absl::Status status = (*reader)->Load({{"w",
                                                  StateKind::kParameter,
                                                  {100},
                                                  WholeOf({100}),
                                                  at::kFloat,
                                                  static_cast<std::byte*>(values.data_ptr())}});
    EXPECT_TRUE(status.ok()) << status;
    return values[99].item<float>();
  }
  void Put(int64_t step, float value, int64_t keep_last = 2) {
    const CheckpointManifest manifest = Write(step, value);
    std::string notice;
    const absl::Status status = Place({temp_.path(), keep_last, 0, nullptr}, manifest, &notice);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(notice, "");
  }
  // In a child that ends before `stage`.
  void PutKilledAt(const std::string& stage, int64_t step, float value, int64_t keep_last) {
    const CheckpointManifest manifest = Write(step, value);
    const pid_t child = ::fork();
    if (child == 0) {
      std::string notice;
      const auto on_stage = [&](const char* now) {
        if (now == stage) ::_exit(9);
      };
      static_cast<void>(Place({temp_.path(), keep_last, 0, on_stage}, manifest, &notice));
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(WEXITSTATUS(status), 9) << "the stage " << stage << " never came";
  }
  TempFolder temp_;
};

TEST_F(Placing, KilledAtAnyStageOfANewStep) {
  float value = 1;
  Put(1, value, 1);
  int64_t step = 1;
  for (const char* stage : kStages) {
    const bool moved = std::string(stage) == "prune" || std::string(stage) == "done";
    PutKilledAt(stage, ++step, value + 1, 1);
    EXPECT_EQ(Latest(), moved ? value + 1 : value) << stage;
    ASSERT_TRUE(CleanUp(temp_.path()).ok());
    EXPECT_EQ(Latest(), moved ? value + 1 : value) << stage;
    for (const int64_t there : StepsIn(temp_.path())) {
      EXPECT_TRUE(CheckpointReader::Open(temp_ / StepName(there)).ok()) << stage;
    }
    Put(step, value += 5, 1);  // the run comes back to the same step
    EXPECT_EQ(Latest(), value);
    EXPECT_THAT(StepsIn(temp_.path()), ElementsAre(step));
  }
}

TEST_F(Placing, KilledAtAnyStageOfAStepThatIsThere) {
  for (const char* stage : kStages) {
    Put(7, 1);
    const bool moved = std::string(stage) != "manifest" && std::string(stage) != "rename";
    PutKilledAt(stage, 7, 2, 2);
    EXPECT_EQ(Latest(), moved ? 2 : 1) << stage;
    ASSERT_TRUE(CleanUp(temp_.path()).ok());
    EXPECT_EQ(Latest(), moved ? 2 : 1) << stage;
    int names = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(temp_.path())) ++names;
    EXPECT_EQ(names, 2) << stage << ": the step and `latest`";
  }
}

TEST_F(Placing, WhatAnEarlierAttemptLeftIsNoPartOfIt) {
  const CheckpointManifest manifest = Write(3, 1);
  ASSERT_TRUE(WriteFileAtomically(WritingFolder(temp_.path(), 3) + "/shard_00001_of_00002", "old").ok());
  std::string notice;
  ASSERT_TRUE(Place({temp_.path(), 2, 0, nullptr}, manifest, &notice).ok());
  EXPECT_FALSE(FileExists(temp_ / "step_00000003/shard_00001_of_00002"));
  EXPECT_EQ(Latest(), 1);
}

TEST_F(Placing, AShardThatIsGoneOrCutIsSeenBeforeTheStepHasItsName) {
  Put(1, 1);
  const CheckpointManifest manifest = Write(2, 2);
  const std::string shard = WritingFolder(temp_.path(), 2) + "/" + ShardName(0, 1);
  std::string notice;
  std::filesystem::resize_file(shard, 100);
  absl::Status status = Place({temp_.path(), 2, 0, nullptr}, manifest, &notice);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(status.message()), HasSubstr("bytes were written and 100 are there"));
  std::filesystem::remove(shard);
  status = Place({temp_.path(), 2, 0, nullptr}, manifest, &notice);
  EXPECT_THAT(std::string(status.message()), HasSubstr("was written and is gone"));
  EXPECT_EQ(Latest(), 1);
  EXPECT_THAT(StepsIn(temp_.path()), ElementsAre(1));
}

TEST_F(Placing, OldStepsGo) {
  for (int64_t step = 1; step <= 5; ++step) Put(step, static_cast<float>(step));
  EXPECT_THAT(StepsIn(temp_.path()), ElementsAre(5, 4));
}

}  // namespace
}  // namespace orthant::testing
