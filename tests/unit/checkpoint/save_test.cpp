// One rank's saver: what it copies and when, what a disk that says no does, and what a kill leaves.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "checkpoint/placing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/comm/local.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"
#include "support/checkpoint_state.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

StatePiece PieceOf(const std::string& name, const at::Tensor& values, int unit) {
  StatePiece piece;
  piece.tensor = name;
  piece.dtype = values.scalar_type();
  piece.shape = values.sizes().vec();
  piece.portion = WholeOf(piece.shape);
  piece.unit = unit;
  piece.data = static_cast<const std::byte*>(values.data_ptr());
  return piece;
}

class SaverTest : public ::testing::Test {
 protected:
  SaverOptions Options(bool asynchronous = true) {
    SaverOptions options;
    options.folder = temp_ / "checkpoints";
    options.asynchronous = asynchronous;
    return options;
  }
  std::string Step(int64_t step) { return temp_ / "checkpoints/" + StepName(step); }
  static absl::Status StatusOf(const std::optional<SaveResult>& result) {
    return result.has_value() ? result->status : absl::InternalError("no result");
  }
  TempFolder temp_;
  LocalWorld world_{1};
  std::unique_ptr<Communicator> rank_ = world_.Connect(0);
  const CheckpointManifest::Key w_{"w", StateKind::kParameter}, v_{"v", StateKind::kParameter};
};

TEST_F(SaverTest, HoldsWhatWasThereBeforeEachUnitsUpdate) {
  Saver saver(Options(), *rank_);
  for (int64_t step = 1; step <= 4; ++step) {
    const at::Tensor w = RandomTensor({1 << 20}, at::kFloat, static_cast<uint64_t>(step));
    const at::Tensor v = RandomTensor({3 << 20}, at::kFloat, static_cast<uint64_t>(step) + 50);
    const LogicalState state = {{w_, w.clone()}, {v_, v.clone()}};
    EXPECT_FALSE(saver.Start(step, {PieceOf("v", v, 1), PieceOf("w", w, 0)}, {}).has_value());
    EXPECT_TRUE(saver.active());
    saver.BeforeUpdate(0);
    w.fill_(-1);
    saver.BeforeUpdate(1);
    v.fill_(-1);
    saver.BeforeUpdate(7);  // of which nothing is saved
    const std::optional<SaveResult> result = saver.Finish();
    ASSERT_TRUE(StatusOf(result).ok()) << StatusOf(result);
    EXPECT_EQ(result->step, step);
    EXPECT_EQ(result->path, Step(step));
    EXPECT_EQ(result->bytes, 16 << 20);
    EXPECT_GT(result->held_seconds, 0);
    EXPECT_LT(result->held_seconds, result->seconds);
    EXPECT_FALSE(saver.active());
    ExpectHolds(Step(step), state);
  }
  EXPECT_THAT(StepsIn(temp_ / "checkpoints"), ElementsAre(4, 3));
  EXPECT_EQ(LatestStep(temp_ / "checkpoints"), 4);
}

// On a GPU the elements are not where the processor reads: the writing thread brings them by a stream. Here
// both lie in main memory.
TEST_F(SaverTest, BringsWhatLiesOnADeviceBeforeEachUnitsUpdate) {
  for (const bool asynchronous : {true, false}) {
    Saver saver(Options(asynchronous), *rank_);
    const at::Tensor w = RandomTensor({1 << 16}, at::kBFloat16, 1),
                     v = RandomTensor({3 << 10}, at::kFloat, 2);
    const LogicalState state = {{w_, w.clone()}, {v_, v.clone()}};
    StatePiece on_device = PieceOf("w", w, 0);
    on_device.data = nullptr;
    on_device.source = w;
    EXPECT_TRUE(on_device.stays());
    EXPECT_FALSE(saver.Start(5, {on_device, PieceOf("v", v, 1)}, {}).has_value());
    saver.BeforeUpdate(0);
    w.fill_(-1);
    saver.BeforeUpdate(1);
    v.fill_(-1);
    ASSERT_TRUE(StatusOf(saver.Finish()).ok());
    ExpectHolds(Step(5), state);
  }
}

TEST_F(SaverTest, GoesThroughItsPhasesWithoutWaiting) {
  Saver saver(Options(), *rank_);
  EXPECT_FALSE(saver.Advance().has_value());
  EXPECT_FALSE(saver.Finish().has_value());
  const at::Tensor w = RandomTensor({1000}, at::kFloat, 1);
  saver.Start(5, {PieceOf("w", w, 0)}, {{"seed", 7}});
  while (saver.busy()) std::this_thread::yield();
  EXPECT_FALSE(saver.Advance().has_value());
  EXPECT_TRUE(saver.active());
  while (saver.busy()) std::this_thread::yield();
  EXPECT_TRUE(StatusOf(saver.Advance()).ok());
  EXPECT_FALSE(saver.active());
  const auto manifest = ReadCheckpointManifest(Step(5));
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->run.dump(), "{\"seed\":7}");
}

TEST_F(SaverTest, ASecondStartEndsTheFirst) {
  Saver saver(Options(), *rank_);
  const at::Tensor w = RandomTensor({100000}, at::kFloat, 1);
  saver.Start(1, {PieceOf("w", w, 0)}, {});
  const std::optional<SaveResult> first = saver.Start(2, {PieceOf("w", w, 0)}, {});
  ASSERT_TRUE(StatusOf(first).ok());
  EXPECT_EQ(first->step, 1);
  EXPECT_EQ(LatestStep(temp_ / "checkpoints"), 1);
  EXPECT_TRUE(StatusOf(saver.Finish()).ok());
  EXPECT_EQ(LatestStep(temp_ / "checkpoints"), 2);
}

TEST_F(SaverTest, SynchronousIsDoneWhenStartReturns) {
  Saver saver(Options(false), *rank_);
  const at::Tensor w = RandomTensor({1000}, at::kDouble, 1);
  EXPECT_FALSE(saver.Start(1, {PieceOf("w", w, 0)}, {}).has_value());
  EXPECT_EQ(LatestStep(temp_ / "checkpoints"), 1);
  EXPECT_TRUE(saver.active());
  EXPECT_FALSE(saver.busy());
  const std::optional<SaveResult> result = saver.Advance();
  ASSERT_TRUE(StatusOf(result).ok());
  EXPECT_GE(result->held_seconds, result->seconds);
  EXPECT_FALSE(saver.active());
  saver.Start(2, {PieceOf("w", w, 0)}, {});
  const std::optional<SaveResult> second = saver.Start(3, {PieceOf("w", w, 0)}, {});
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->step, 2);
  ExpectHolds(Step(3), {{w_, w}});
}

TEST_F(SaverTest, FetchedPiecesAndTheCopyAreHostMemory) {
  const auto account = MemoryAccount::Create();
  const BindMemory bound(account);
  const at::Tensor w = RandomTensor({1 << 18}, at::kFloat, 1);
  StatePiece piece = PieceOf("w", w, 0);
  const std::byte* data = std::exchange(piece.data, nullptr);
  const std::thread::id own = std::this_thread::get_id();
  piece.fetch = [&](std::byte* to) {
    EXPECT_EQ(std::this_thread::get_id(), own);
    std::memcpy(to, data, w.nbytes());
  };
  Saver saver(Options(), *rank_);
  const TagBytes before = account->current();
  saver.Start(1, {piece}, {});
  const TagBytes during = account->current();
  EXPECT_GE(during[static_cast<size_t>(MemoryTag::kHost)], 1 << 20);
  EXPECT_EQ(DeviceBytes(during), DeviceBytes(before));
  EXPECT_TRUE(StatusOf(saver.Finish()).ok());
  saver.Start(2, {piece}, {});
  EXPECT_EQ(account->current()[static_cast<size_t>(MemoryTag::kHost)],
            during[static_cast<size_t>(MemoryTag::kHost)])
      << "the memory is used again";
  EXPECT_TRUE(StatusOf(saver.Finish()).ok());
  ExpectHolds(Step(2), {{w_, w}});
}

TEST_F(SaverTest, APieceThatIsMissingOrTwiceIsNoCheckpoint) {
  Saver saver(Options(), *rank_);
  const at::Tensor w = RandomTensor({10}, at::kFloat, 1);
  StatePiece half = PieceOf("w", w, 0);
  half.portion.end = 5;
  saver.Start(1, {half}, {});
  absl::Status status = StatusOf(saver.Finish());
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("w (parameter) [10]: elements 5 to 9 are in no slice"));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kInternal);
  saver.Start(1, {half, PieceOf("w", w, 0)}, {});
  status = StatusOf(saver.Finish());
  EXPECT_THAT(std::string(status.message()), HasSubstr("elements 0 to 4 are in two slices"));
  EXPECT_TRUE(fs::is_empty(temp_ / "checkpoints"));
}

TEST_F(SaverTest, EndsInTheMiddleOfASaveAndLeavesNothingThatCounts) {
  const at::Tensor w = RandomTensor({1 << 22}, at::kFloat, 1);
  {
    Saver saver(Options(), *rank_);
    saver.Start(1, {PieceOf("w", w, 0)}, {});
  }
  EXPECT_TRUE(fs::is_empty(temp_ / "checkpoints") || !fs::exists(temp_ / "checkpoints"));
}

// Saves 1, then 2 where something fails, then 3 where nothing does any more.
void ExpectFailure(Saver& saver, const std::string& folder, const std::function<void()>& spoil,
                   const std::function<void()>& heal, const std::string& file, const std::string& reason) {
  const at::Tensor w = RandomTensor({1 << 19}, at::kFloat, 1);
  const LogicalState state = {{{"w", StateKind::kParameter}, w}};
  saver.Start(1, {PieceOf("w", w, 0)}, {});
  std::optional<SaveResult> result = saver.Finish();
  ASSERT_TRUE(result.has_value() && result->status.ok()) << result->status;
  spoil();
  saver.Start(2, {PieceOf("w", w, 0)}, {});
  saver.BeforeUpdate(0);
  result = saver.Finish();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(ExitCodeOf(result->status), ExitCode::kEnvironment);
  EXPECT_THAT(
      std::string(result->status.message()),
      AllOf(HasSubstr("the checkpoint of step 2 was not saved, earlier ones are as they were: rank 0: "),
            HasSubstr(file), HasSubstr(reason)));
  EXPECT_EQ(LatestStep(folder), 1);
  ExpectHolds(folder + "/" + StepName(1), state);
  heal();
  EXPECT_THAT(StepsIn(folder), ElementsAre(1));
  saver.Start(3, {PieceOf("w", w, 0)}, {});
  result = saver.Finish();
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->status.ok()) << result->status;
  ExpectHolds(folder + "/" + StepName(3), state);
}

TEST_F(SaverTest, TellsOfAShardThatCannotBeMadeAndGoesOn) {
  Saver saver(Options(), *rank_);
  const std::string writing = WritingFolder(temp_ / "checkpoints", 2);
  const std::string shard = writing + "/shard_00000_of_00001.safetensors";
  ExpectFailure(
      saver, temp_ / "checkpoints", [&] { fs::create_directories(shard + "/x"); }, [] {}, shard,
      "cannot be replaced: Is a directory");
  EXPECT_FALSE(fs::exists(writing));
}

TEST_F(SaverTest, TellsOfAFileInTheFoldersPlaceAndGoesOn) {
  Saver saver(Options(), *rank_);
  const std::string writing = WritingFolder(temp_ / "checkpoints", 2);
  ExpectFailure(
      saver, temp_ / "checkpoints", [&] { std::ofstream(writing) << "x"; }, [] {}, writing,
      "is a file, not a folder");
}

TEST_F(SaverTest, TellsOfALimitOnFileSizesAndGoesOn) {
  Saver saver(Options(), *rank_);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = old;
  small.rlim_cur = 1 << 20;
  ExpectFailure(
      saver, temp_ / "checkpoints", [&] { ::setrlimit(RLIMIT_FSIZE, &small); },
      [&] { ::setrlimit(RLIMIT_FSIZE, &old); }, "shard_00000_of_00001.safetensors", "File too large");
}

class Mounted : public SaverTest {
 protected:
  void SetUp() override {
    fs::create_directories(temp_ / "checkpoints");
    if (::geteuid() != 0 || ::mount("tmpfs", Path(), "tmpfs", 0, "size=8m") != 0) {
      GTEST_SKIP() << "skipped: mounting a file system needs root";
    }
  }
  void TearDown() override { ::umount2(Path(), MNT_DETACH); }
  const char* Path() {
    path_ = temp_ / "checkpoints";
    return path_.c_str();
  }
  std::string path_;
};

TEST_F(Mounted, TellsOfAFullDiskAndGoesOn) {
  Saver saver(Options(), *rank_);
  const std::string filler = temp_ / "checkpoints/filler";
  ExpectFailure(
      saver, temp_ / "checkpoints", [&] { std::ofstream(filler) << std::string(5 << 20, 'x'); },
      [&] { fs::remove(filler); }, "shard_00000_of_00001.safetensors",
      "No space left on device; free space there");
}

TEST_F(Mounted, TellsOfAReadOnlyDiskAndGoesOn) {
  Saver saver(Options(), *rank_);
  ExpectFailure(
      saver, temp_ / "checkpoints",
      [&] { ASSERT_EQ(::mount(nullptr, Path(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0); },
      [&] { ASSERT_EQ(::mount(nullptr, Path(), nullptr, MS_REMOUNT, nullptr), 0); }, ".step_00000002.writing",
      "Read-only file system");
}

TEST_F(SaverTest, KilledAtEachTenthOfTheBytes) {
  const at::Tensor w = RandomTensor({300000}, at::kFloat, 1), next = w + 1;
  {
    Saver saver(Options(), *rank_);
    saver.Start(1, {PieceOf("w", w, 0)}, {});
    ASSERT_TRUE(StatusOf(saver.Finish()).ok());
  }
  for (int tenth = 1; tenth <= 10; ++tenth) {
    const pid_t child = ::fork();
    if (child == 0) {
      SaverOptions options = Options();
      options.on_write = [&](int64_t written, int64_t total) {
        if (10 * written >= tenth * total) ::kill(::getpid(), SIGKILL);
      };
      Saver saver(options, *rank_);
      saver.Start(2, {PieceOf("w", next, 0)}, {});
      saver.Finish();
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the save was not cut at tenth " << tenth;
    EXPECT_TRUE(fs::exists(WritingFolder(temp_ / "checkpoints", 2)));
    EXPECT_EQ(LatestStep(temp_ / "checkpoints"), 1);
    ASSERT_TRUE(CleanUp(temp_ / "checkpoints").ok());
    EXPECT_FALSE(fs::exists(WritingFolder(temp_ / "checkpoints", 2)));
    ExpectHolds(Step(1), {{w_, w}});
  }
}

}  // namespace
}  // namespace orthant::testing
