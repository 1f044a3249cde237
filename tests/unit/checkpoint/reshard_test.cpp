// Saved from one geometry, loaded into another: bit for bit, reading what is needed and no more.
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "checkpoint/load_plan.h"
#include "checkpoint/shard.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/comm/local.h"
#include "orthant/core/status.h"
#include "support/checkpoint_state.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// -> the step's folder.
std::string Save(const std::string& folder, int64_t step, const std::vector<std::vector<Held>>& held,
                 int64_t writers = 0) {
  RunLocal(static_cast<int>(held.size()), {}, [&](Communicator& world) {
    SaverOptions options;
    options.folder = folder;
    options.writers = writers;
    Saver saver(options, world);
    saver.Start(step, PiecesOf(held[static_cast<size_t>(world.rank())]), {{"seed", 1}});
    const std::optional<SaveResult> result = saver.Finish();
    ASSERT_TRUE(result.has_value());
    EXPECT_TRUE(result->status.ok()) << result->status;
  });
  return folder + "/" + StepName(step);
}

int64_t SliceBytesHit(const CheckpointManifest& manifest, const std::vector<StateTarget>& targets) {
  int64_t sum = 0;
  for (const auto& [key, tensor] : manifest.tensors) {
    for (const Slice& slice : tensor.slices) {
      bool hit = false;
      for (const StateTarget& t : targets) {
        if (t.tensor != key.first || t.kind != key.second) continue;
        for (const LogicalRun& a : RunsOf(t.shape, t.portion)) {
          for (const LogicalRun& b : RunsOf(t.shape, slice.portion)) {
            hit = hit || (a.logical < b.logical + b.length && b.logical < a.logical + a.length);
          }
        }
      }
      if (hit) sum += slice.bytes;
    }
  }
  return sum;
}

TEST(Reshard, AnyGeometryLoadsAnyOther) {
  Random random(7);
  const TempFolder temp;
  for (int round = 0; round < 60; ++round) {
    const LogicalState state = RandomState(random, 4, 24);
    const int from = static_cast<int>(Draw(random, 1, 4)), to = static_cast<int>(Draw(random, 1, 5));
    const std::string folder =
        Save(temp.path(), round + 1, SplitState(random, state, from), Draw(random, 0, from));
    ExpectHolds(folder, state);
    for (const std::vector<Held>& rank : SplitState(random, state, to)) {
      auto reader = CheckpointReader::Open(folder);
      ASSERT_TRUE(reader.ok()) << reader.status();
      std::vector<at::Tensor> expected;
      std::vector<StateTarget> targets;
      for (const Held& h : rank) {
        expected.push_back(h.memory.clone());
        // What is there before stays where there is padding, and nowhere else: it was saved as 77 too.
        const std::vector<LogicalRun> runs = RunsOf(h.shape, h.portion);
        for (const LogicalRun& run : runs) h.memory.narrow(0, run.local, run.length).fill_(3);
        targets.push_back(TargetOf(h));
      }
      const absl::Status status = (*reader)->Load(targets);
      ASSERT_TRUE(status.ok()) << status;
      for (size_t i = 0; i < rank.size(); ++i) {
        ASSERT_TRUE(SameBits(rank[i].memory, expected[i])) << rank[i].key.first << " in round " << round;
      }
      EXPECT_EQ((*reader)->bytes_read(), SliceBytesHit((*reader)->manifest(), targets));
    }
  }
}

TEST(Reshard, ReadsOnlyTheSlicesOfTheWantedElements) {
  const TempFolder temp;
  const std::vector<int64_t> shape = {6, kSliceBytes / 4};  // a slice a row
  const at::Tensor values = RandomTensor(shape, at::kFloat, 8);
  const CheckpointManifest::Key key{"w", StateKind::kParameter};
  const std::string folder = Save(temp.path(), 1, {{{key, shape, WholeOf(shape), values, 0, false}}});
  auto reader = CheckpointReader::Open(folder);
  ASSERT_TRUE(reader.ok()) << reader.status();
  Portion portion = WholeOf(shape);
  portion.begin = 2 * shape[1] + 7;
  portion.end = 3 * shape[1] + 9;
  const at::Tensor part = at::zeros({portion.elements()}, at::kFloat);
  const absl::Status status = (*reader)->Load(
      {{"w", StateKind::kParameter, shape, portion, at::kFloat, static_cast<std::byte*>(part.data_ptr())}});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(SameBits(part, values.view({-1}).narrow(0, portion.begin, portion.elements()).contiguous()));
  EXPECT_EQ((*reader)->bytes_read(), 2 * kSliceBytes);
}

TEST(Reshard, ConvertsBetweenTypes) {
  const TempFolder temp;
  const std::vector<at::ScalarType> types = {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf};
  const std::vector<int64_t> shape = {5, 7};
  std::vector<Held> held;
  for (size_t i = 0; i < types.size(); ++i) {
    held.push_back({{absl::StrCat("w", i), StateKind::kParameter},
                    shape,
                    WholeOf(shape),
                    RandomTensor(shape, types[i], i),
                    0,
                    false});
  }
  auto reader = CheckpointReader::Open(Save(temp.path(), 1, {held}));
  ASSERT_TRUE(reader.ok()) << reader.status();
  const ParameterSpec spec = ShardedSpec("w", shape, 1, 3, 1, {}, true);
  for (const Held& h : held) {
    for (const at::ScalarType to : types) {
      const at::Tensor part = at::zeros(spec.LocalShape(), to);
      const absl::Status status =
          (*reader)->Load({{h.key.first, h.key.second, shape, PortionOf(spec, 0, spec.LocalElements()), to,
                            static_cast<std::byte*>(part.data_ptr())}});
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_TRUE(SameBits(part, h.memory.narrow(1, 3, 3).to(to).contiguous()))
          << h.memory.scalar_type() << to;
    }
  }
}

class Damaged : public ::testing::Test {
 protected:
  void SetUp() override {
    held_ = {{{"h.0.weight", StateKind::kParameter},
              {4, 5},
              WholeOf({4, 5}),
              RandomTensor({4, 5}, at::kFloat, 1),
              0,
              false},
             {{"h.0.weight", StateKind::kFirstMoment},
              {4, 5},
              WholeOf({4, 5}),
              RandomTensor({4, 5}, at::kFloat, 2),
              0,
              false}};
    folder_ = Save(temp_.path(), 3, {held_});
    shard_ = folder_ + "/" + ShardName(0, 1);
  }
  // Of Open, or of loading `targets`.
  std::string Error(const std::vector<StateTarget>& targets) {
    auto reader = CheckpointReader::Open(folder_);
    const absl::Status status = reader.ok() ? (*reader)->Load(targets) : reader.status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kData) << status;
    return std::string(status.message());
  }
  TempFolder temp_;
  std::vector<Held> held_;
  std::string folder_, shard_;
};

TEST_F(Damaged, EveryFlippedByteOfAShardsDataIsSeenAndNamed) {
  std::ifstream in(shard_, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_EQ(whole.size(), 4096u + 160u);
  for (size_t i = 4096; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
    std::ofstream(shard_, std::ios::binary) << bytes;
    const std::string error = Error({TargetOf(held_[0]), TargetOf(held_[1])});
    EXPECT_THAT(error,
                AllOf(HasSubstr(shard_ + ": bytes "), HasSubstr("are damaged"),
                      HasSubstr(i < 4096 + 80 ? "h.0.weight (parameter)" : "h.0.weight (first_moment)"),
                      HasSubstr("`orthant checkpoint verify " + folder_ + "`")));
  }
}

TEST_F(Damaged, AFileThatIsMissingOrCutIsSeenAtOpen) {
  std::filesystem::resize_file(shard_, 4096 + 159);
  EXPECT_THAT(Error({}), HasSubstr(shard_ + ": is 4255 bytes long, and the manifest says 4256"));
  std::filesystem::remove(shard_);
  EXPECT_THAT(Error({}), HasSubstr(shard_ + ": is missing or unreadable"));
}

TEST_F(Damaged, AFileThatIsCutLaterIsSeenInReading) {
  auto reader = CheckpointReader::Open(folder_);
  ASSERT_TRUE(reader.ok());
  std::filesystem::resize_file(shard_, 4096 + 90);
  const absl::Status status = (*reader)->Load({TargetOf(held_[0]), TargetOf(held_[1])});
  EXPECT_THAT(std::string(status.message()), HasSubstr("ends at byte 4186, before byte 4256"));
}

TEST_F(Damaged, WhatIsNotThereIsNamed) {
  StateTarget target = TargetOf(held_[0]);
  target.kind = StateKind::kMaster;
  EXPECT_THAT(Error({target}), HasSubstr("holds h.0.weight, but not its master"));
  target.tensor = "h.0.wieght";
  EXPECT_THAT(Error({target}), HasSubstr("holds no tensor h.0.wieght (h.0.weight is there)"));
  target = TargetOf(held_[0]);
  target.shape = {5, 4};
  EXPECT_THAT(Error({target}),
              HasSubstr("h.0.weight (parameter) has the shape [4, 5], and [5, 4] is wanted"));
}

}  // namespace
}  // namespace orthant::testing
