#include "checkpoint/shard.h"

#include <cstring>
#include <set>

#include "gtest/gtest.h"
#include "orthant/core/hash.h"
#include "support/checkpoint_state.h"

namespace orthant::testing {
namespace {

// The rules of the format (github.com/huggingface/safetensors): a header whose tensors fill the data in
// order, without gaps.
TEST(Shard, IsSafetensors) {
  Random random(5);
  const LogicalState state = RandomState(random, 6, 40);
  const std::vector<StatePiece> pieces = PiecesOf(SplitState(random, state, 1)[0]);
  ShardLayout layout("shard", 12, pieces);
  const std::string& header = layout.header();
  EXPECT_EQ(header.size() % 4096, 0u);
  uint64_t length = 0;
  std::memcpy(&length, header.data(), 8);
  ASSERT_EQ(length + 8, header.size());
  const auto json = nlohmann::ordered_json::parse(header.substr(8));
  int64_t next = 0;
  size_t tensors = 0;
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      for (const auto& value : entry) EXPECT_TRUE(value.is_string());
      continue;
    }
    const Slice& slice = layout.entries()[tensors].slice;
    const at::ScalarType dtype = layout.entries()[tensors].dtype;
    const auto size = static_cast<int64_t>(c10::elementSize(dtype));
    EXPECT_EQ(entry["data_offsets"][0], next);
    EXPECT_EQ(next % size, 0) << name << " does not lie where its elements want it";
    next = entry["data_offsets"][1];
    EXPECT_EQ(entry["shape"].size(), 1u);
    EXPECT_EQ(entry["shape"][0].get<int64_t>() * size, slice.bytes);
    EXPECT_EQ(slice.offset, next - slice.bytes + static_cast<int64_t>(header.size()));
    ++tensors;
  }
  EXPECT_EQ(tensors, layout.entries().size()) << "names are not unique";
  EXPECT_EQ(layout.bytes(), next + static_cast<int64_t>(header.size()));
}

TEST(Shard, CutsPiecesInSlicesOfBoundedSize) {
  const int64_t elements = 3 * kSliceBytes / 4 + 5;
  StatePiece piece;
  piece.tensor = "w";
  piece.dtype = at::kBFloat16;
  piece.shape = {elements};
  piece.portion = WholeOf({elements});
  StatePiece moment = piece;
  moment.kind = StateKind::kFirstMoment;
  moment.dtype = at::kFloat;
  const ShardLayout layout("shard", 1, {piece, moment});
  const std::vector<ShardLayout::Entry>& entries = layout.entries();
  ASSERT_EQ(entries.size(), 4u + 2u);
  EXPECT_EQ(entries[0].key.second, StateKind::kFirstMoment);  // wider elements first
  EXPECT_EQ(layout.offset(1), entries[0].slice.offset);
  EXPECT_EQ(layout.offset(0), entries[4].slice.offset);
  int64_t next = 0;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_LE(entries[i].slice.bytes, kSliceBytes);
    EXPECT_EQ(entries[i].slice.portion.begin, next);
    next = entries[i].slice.portion.end;
  }
  EXPECT_EQ(next, elements);
}

TEST(Shard, ManifestHasEachSlicesChecksum) {
  Random random(6);
  const std::vector<Held> held = SplitState(random, RandomState(random, 2, 20), 1)[0];
  const std::vector<StatePiece> pieces = PiecesOf(held);
  ShardLayout layout("shard", 12, pieces);
  std::vector<std::byte> image(static_cast<size_t>(layout.bytes()));
  for (size_t i = 0; i < pieces.size(); ++i) {
    std::memcpy(image.data() + layout.offset(i), held[i].memory.data_ptr(), held[i].memory.nbytes());
  }
  layout.Hash(image);
  const CheckpointManifest manifest = layout.ToManifest(12);
  ASSERT_EQ(manifest.files.size(), 1u);
  EXPECT_EQ(manifest.files[0].bytes, layout.bytes());
  for (const auto& [key, tensor] : manifest.tensors) {
    EXPECT_EQ(Incomplete(key.first, tensor), "");
    for (const Slice& s : tensor.slices) {
      EXPECT_EQ(s.xxh64,
                Xxh64(std::span(image).subspan(static_cast<size_t>(s.offset), static_cast<size_t>(s.bytes))));
    }
  }
  EXPECT_TRUE(ParseManifest(ToText(manifest), "m").ok());
}

TEST(Shard, WithoutPiecesIsAHeader) {
  const ShardLayout layout(ShardName(3, 16), 1, {});
  EXPECT_EQ(layout.name(), "shard_00003_of_00016.safetensors");
  EXPECT_EQ(layout.bytes(), static_cast<int64_t>(layout.header().size()));
}

}  // namespace
}  // namespace orthant::testing
