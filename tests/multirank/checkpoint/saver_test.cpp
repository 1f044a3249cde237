// Savers of several ranks, over every backend.
#include "orthant/checkpoint/saver.h"

#include <filesystem>
#include <fstream>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/comm/local.h"
#include "orthant/core/status.h"
#include "support/checkpoint_state.h"
#include "support/ranks.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder that all ranks know, whatever process they are in; rank 0 removes it at the end.
class SharedFolder {
 public:
  explicit SharedFolder(Communicator& world) : world_(world) {
    const at::Tensor number = at::full({1}, static_cast<int64_t>(std::random_device()() >> 1), at::kLong);
    world.Broadcast(number, 0, "test.folder");
    path_ = (fs::temp_directory_path() / ("orthant-test-" + std::to_string(number.item<int64_t>()))).string();
    if (world.rank() == 0) fs::create_directories(path_);
    world.Barrier("test.folder");
  }
  ~SharedFolder() {
    world_.Barrier("test.folder");
    std::error_code ignored;
    if (world_.rank() == 0) fs::remove_all(path_, ignored);
  }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  Communicator& world_;
  std::string path_;
};

std::vector<int> Worlds() {
  std::vector<int> sizes;
  for (const int n : {1, 2, 3, 4, 7}) {
    if (n <= MaxRanks()) sizes.push_back(n);
  }
  return sizes;
}

void ExpectSaved(const std::optional<SaveResult>& result, int64_t step) {
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->status.ok()) << result->status;
  EXPECT_EQ(result->step, step);
  EXPECT_EQ(result->notice, "");
}

size_t Shards(const std::string& folder) {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    count += entry.path().extension() == ".safetensors" ? 1 : 0;
  }
  return count;
}

TEST(Saver, EveryNumberOfWritersHoldsTheSameState) {
  for (const int n : Worlds()) {
    RunRanks(n, [n](Communicator& world) {
      const SharedFolder folder(world);
      Random random(static_cast<uint64_t>(n));
      const LogicalState state = RandomState(random, 5, 30);
      for (int writers = 0; writers <= n + 1; ++writers) {
        const std::vector<Held> held = SplitState(random, state, n)[static_cast<size_t>(world.rank())];
        SaverOptions options;
        options.folder = folder.path();
        options.writers = writers;
        Saver saver(options, world);
        saver.Start(writers, PiecesOf(held), {{"writers", writers}});
        for (int unit = 0; unit < 4; ++unit) {
          saver.BeforeUpdate(unit);
          for (const Held& h : held) {
            if (h.unit == unit && !h.fetched) h.memory.fill_(1);
          }
        }
        const std::optional<SaveResult> result = saver.Finish();
        ExpectSaved(result, writers);
        EXPECT_GT(result->bytes, 0);
        EXPECT_EQ(Shards(result->path), static_cast<size_t>(writers == 0 ? n : std::min(writers, n)));
        if (world.rank() == 0) ExpectHolds(result->path, state);
        world.Barrier("test.read");
      }
    });
  }
}

// More than one chunk of a transfer, pieces that straddle chunks.
TEST(Saver, LargePiecesGoToTheWriter) {
  RunRanks(std::min(3, MaxRanks()), [](Communicator& world) {
    const SharedFolder folder(world);
    const int64_t part = (5 << 20) + 3;
    const std::vector<int64_t> shape = {world.size(), part};
    const at::Tensor values = RandomTensor(shape, at::kFloat, 3);
    const ParameterSpec spec = ShardedSpec("w", shape, 0, world.size(), world.rank(), {}, true);
    Held held{{"w", StateKind::kParameter}, shape, PortionOf(spec, 0, part),
              values[world.rank()].clone(), 0,     world.rank() == 1};
    SaverOptions options;
    options.folder = folder.path();
    options.writers = 1;
    Saver saver(options, world);
    saver.Start(1, PiecesOf({held}), {});
    ExpectSaved(saver.Finish(), 1);
    if (world.rank() == 0) ExpectHolds(folder.path() + "/" + StepName(1), {{held.key, values}});
    world.Barrier("test.read");
  });
}

TEST(Saver, AdvancesTogetherBetweenSteps) {
  RunRanks(std::min(4, MaxRanks()), [](Communicator& world) {
    const SharedFolder folder(world);
    Random random(11);
    const LogicalState state = RandomState(random, 4, 30);
    const std::vector<Held> held = SplitState(random, state, world.size())[static_cast<size_t>(world.rank())];
    SaverOptions options;
    options.folder = folder.path();
    Saver saver(options, world);
    for (int64_t step = 1; step <= 3; ++step) {
      EXPECT_FALSE(saver.Start(step, PiecesOf(held), {}).has_value());
      std::optional<SaveResult> result;
      while (saver.active()) {  // as a training loop does, with its step's own exchange
        const at::Tensor busy = at::full({1}, saver.busy() ? 1 : 0, at::kLong);
        world.AllReduce(busy, ReduceOp::kMax, "test.busy");
        if (busy.item<int64_t>() == 0) result = saver.Advance();
      }
      ExpectSaved(result, step);
    }
    if (world.rank() == 0) {
      EXPECT_THAT(StepsIn(folder.path()), ElementsAre(3, 2));
      ExpectHolds(folder.path() + "/" + StepName(3), state);
    }
    world.Barrier("test.read");
  });
}

// A folder stands where the rank's shard shall be.
TEST(Saver, OneRanksFailureIsEveryRanksResultAndTheNextSaveWorks) {
  const int n = std::min(4, MaxRanks());
  if (n < 2) GTEST_SKIP() << "skipped: needs 2 ranks";
  for (const bool asynchronous : {true, false}) {
    RunRanks(n, [&](Communicator& world) {
      const SharedFolder folder(world);
      Random random(12);
      const LogicalState state = RandomState(random, 4, 30);
      const std::vector<Held> held = SplitState(random, state, n)[static_cast<size_t>(world.rank())];
      SaverOptions options;
      options.folder = folder.path();
      options.asynchronous = asynchronous;
      Saver saver(options, world);
      saver.Start(1, PiecesOf(held), {});
      ExpectSaved(saver.Finish(), 1);
      char name[64];
      std::snprintf(name, sizeof name, "shard_%05d_of_%05d.safetensors", n - 1, n);
      const std::string shard = folder.path() + "/.step_00000002.writing/" + name;
      if (world.rank() == 0) fs::create_directories(shard + "/in_the_way");
      world.Barrier("test.spoiled");
      saver.Start(2, PiecesOf(held), {});
      const std::optional<SaveResult> failed = saver.Finish();
      ASSERT_TRUE(failed.has_value());
      EXPECT_EQ(ExitCodeOf(failed->status), ExitCode::kEnvironment);
      EXPECT_THAT(std::string(failed->status.message()),
                  AllOf(HasSubstr("rank " + std::to_string(n - 1) + ": " + shard),
                        HasSubstr("Is a directory"), HasSubstr("the checkpoint of step 2 was not saved")));
      if (world.rank() == 0) {
        EXPECT_EQ(LatestStep(folder.path()), 1);
        EXPECT_FALSE(fs::exists(folder.path() + "/.step_00000002.writing"));
        ExpectHolds(folder.path() + "/" + StepName(1), state);
      }
      world.Barrier("test.looked");
      saver.Start(2, PiecesOf(held), {});
      ExpectSaved(saver.Finish(), 2);
      if (world.rank() == 0) ExpectHolds(folder.path() + "/" + StepName(2), state);
      world.Barrier("test.read");
    });
  }
}

TEST(Saver, EveryRankFailingTellsOfTheLowest) {
  RunRanks(std::min(4, MaxRanks()), [](Communicator& world) {
    const SharedFolder folder(world);
    SaverOptions options;
    options.folder = folder.path() + "/file/checkpoints";
    if (world.rank() == 0) std::ofstream(folder.path() + "/file") << "x";
    world.Barrier("test.spoiled");
    Saver saver(options, world);
    saver.Start(1, {}, {});
    const std::optional<SaveResult> failed = saver.Finish();
    ASSERT_TRUE(failed.has_value());
    EXPECT_THAT(std::string(failed->status.message()), AllOf(HasSubstr("rank 0: "), HasSubstr("is a file")));
  });
}

TEST(Saver, ARanksExceptionInFetchLeavesNothing) {
  const TempFolder temp;
  bool thrown = false;
  try {
    // Ranks as threads: under MPI an exception ends the job.
    RunLocal(3, {}, [&](Communicator& world) {
      SaverOptions options;
      options.folder = temp.path();
      Saver saver(options, world);
      StatePiece piece;
      piece.tensor = "w" + std::to_string(world.rank());
      piece.shape = {4};
      piece.portion = WholeOf({4});
      piece.fetch = [&](std::byte* to) {
        if (world.rank() == 1) throw StatusError(EnvironmentError("the offload file is gone"));
        std::memset(to, 0, 16);
      };
      saver.Start(1, {piece}, {});
      saver.Finish();
    });
  } catch (const StatusError& error) {
    thrown = true;
    EXPECT_STREQ(error.what(), "the offload file is gone");
  }
  EXPECT_TRUE(thrown);
  EXPECT_TRUE(StepsIn(temp.path()).empty());
  EXPECT_EQ(LatestStep(temp.path()), -1);
}

}  // namespace
}  // namespace orthant::testing
