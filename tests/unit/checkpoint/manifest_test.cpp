#include "orthant/checkpoint/manifest.h"

#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/hash.h"
#include "orthant/core/status.h"
#include "support/checkpoint_state.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

CheckpointManifest Small() {
  CheckpointManifest manifest;
  manifest.version = "0.1.0";
  manifest.step = 340;
  manifest.run = {{"seed", 1337}, {"loss_scale", 0.1}, {"mesh", {{"data", 2}}}};
  manifest.files = {{"shard_00000_of_00002.safetensors", 4096 + 88},
                    {"shard_00001_of_00002.safetensors", 4136}};
  LogicalTensor& weight = manifest.tensors[{"h.0.weight", StateKind::kParameter}];
  weight.shape = {4, 5};
  const ParameterSpec first = ShardedSpec("h.0.weight", {4, 5}, 1, 2, 0, {}, true);
  const ParameterSpec second = ShardedSpec("h.0.weight", {4, 5}, 1, 2, 1, {}, true);
  weight.slices = {{0, 4096, 48, 0x0123456789abcdefu, PortionOf(first, 0, 12)},
                   {0, 4144, 40, 7, PortionOf(second, 2, 12)},
                   {1, 4096, 8, ~uint64_t{0}, PortionOf(second, 0, 2)}};
  LogicalTensor& moment = manifest.tensors[{"h.0.bias \"\xc3\xa9\"", StateKind::kSecondMoment}];
  moment.dtype = at::kBFloat16;
  moment.shape = {16};
  moment.slices = {{1, 4104, 32, 9, WholeOf({16})}};
  return manifest;
}

std::string Message(const absl::StatusOr<CheckpointManifest>& parsed) {
  EXPECT_FALSE(parsed.ok());
  EXPECT_EQ(ExitCodeOf(parsed.status()), ExitCode::kData);
  return std::string(parsed.status().message());
}

// The text with something else in it, and a checksum that says so.
std::string Edited(std::string text, const std::string& from, const std::string& to) {
  EXPECT_THAT(text, HasSubstr(from));
  text = absl::StrReplaceAll(text, {{from, to}});
  const size_t digits = std::string("{\n\"checksum\": \"").size();
  text.replace(digits, 16, 16, '0');
  return text.replace(digits, 16, absl::StrFormat("%016x", Xxh64(text)));
}

TEST(CheckpointManifest, ReadsBackWhatWasWritten) {
  const CheckpointManifest manifest = Small();
  const absl::StatusOr<CheckpointManifest> back = ParseManifest(ToText(manifest), "s/manifest.json");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->version, "0.1.0");
  EXPECT_EQ(back->step, 340);
  EXPECT_EQ(back->run.dump(), manifest.run.dump());
  ASSERT_EQ(back->files.size(), 2u);
  EXPECT_EQ(back->files[1].name, manifest.files[1].name);
  EXPECT_EQ(back->files[1].bytes, manifest.files[1].bytes);
  EXPECT_EQ(back->bytes(), 48 + 40 + 8 + 32);
  ASSERT_EQ(back->tensors.size(), 2u);
  for (const auto& [key, tensor] : manifest.tensors) {
    const LogicalTensor& read = back->tensors.at(key);
    EXPECT_EQ(read.dtype, tensor.dtype);
    EXPECT_EQ(read.shape, tensor.shape);
    ASSERT_EQ(read.slices.size(), tensor.slices.size());
    for (size_t i = 0; i < read.slices.size(); ++i) {
      EXPECT_EQ(read.slices[i].file, tensor.slices[i].file);
      EXPECT_EQ(read.slices[i].offset, tensor.slices[i].offset);
      EXPECT_EQ(read.slices[i].bytes, tensor.slices[i].bytes);
      EXPECT_EQ(read.slices[i].xxh64, tensor.slices[i].xxh64);
      EXPECT_EQ(read.slices[i].portion, tensor.slices[i].portion);
    }
  }
  EXPECT_EQ(ToText(*back), ToText(manifest));
}

TEST(CheckpointManifest, EveryFlippedBitIsAnError) {
  const std::string text = ToText(Small());
  for (size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const absl::StatusOr<CheckpointManifest> parsed = ParseManifest(damaged, "s/manifest.json");
      ASSERT_FALSE(parsed.ok()) << "byte " << i << " bit " << bit;
      ASSERT_EQ(ExitCodeOf(parsed.status()), ExitCode::kData);
    }
  }
}

TEST(CheckpointManifest, EveryOtherLengthAndRandomDamageIsAnError) {
  const std::string text = ToText(Small());
  for (size_t length = 0; length < text.size(); ++length) {
    ASSERT_FALSE(ParseManifest(text.substr(0, length), "s/manifest.json").ok()) << length;
  }
  EXPECT_FALSE(ParseManifest(text + " ", "s/manifest.json").ok());
  Random random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = text;
    for (int64_t left = Draw(random, 1, 40); left > 0; --left) {
      damaged[static_cast<size_t>(Draw(random, 0, static_cast<int64_t>(text.size()) - 1))] ^=
          static_cast<char>(Draw(random, 1, 255));
    }
    if (damaged == text) continue;
    ASSERT_FALSE(ParseManifest(damaged, "s/manifest.json").ok());
  }
  EXPECT_FALSE(ParseManifest(std::string(100000, '['), "s/manifest.json").ok());
}

// Values that are wrong although the checksum holds: none may reach memory.
TEST(CheckpointManifest, WrongFieldsAreErrorsWhateverTheChecksumSays) {
  const std::string text = ToText(Small());
  Random random(4);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = text;
    const auto at = static_cast<size_t>(Draw(random, 30, static_cast<int64_t>(text.size()) - 1));
    damaged[at] = "0123456789-[]{},\":.e \x80"[Draw(random, 0, 21)];
    const absl::StatusOr<CheckpointManifest> parsed =
        ParseManifest(Edited(damaged, "{", "{"), "s/manifest.json");
    if (!parsed.ok()) {
      ++refused;
      continue;
    }
    for (const auto& [key, tensor] : parsed->tensors) {
      const int64_t elements = WholeOf(tensor.shape).end;
      for (const Slice& slice : tensor.slices) {
        ASSERT_LE(slice.offset + slice.bytes, parsed->files.at(static_cast<size_t>(slice.file)).bytes);
        for (const LogicalRun& run : RunsOf(tensor.shape, slice.portion)) {
          ASSERT_GE(run.local, 0);
          ASSERT_LE(run.local + run.length, slice.portion.elements());
          ASSERT_GE(run.logical, 0);
          ASSERT_LE(run.logical + run.length, elements);
        }
      }
      Incomplete(key.first, tensor);
    }
  }
  EXPECT_GT(refused, 5000);
}

TEST(CheckpointManifest, SaysWhatIsWrong) {
  const std::string text = ToText(Small());
  const auto edited = [&](const std::string& from, const std::string& to) {
    return Message(ParseManifest(Edited(text, from, to), "run/step_00000340/manifest.json"));
  };
  EXPECT_THAT(edited("[0,4144,40,", "[0,4140,40,"),
              HasSubstr("two slices overlap at byte 4140 of shard_00000"));
  EXPECT_THAT(edited("[0,4144,40,", "[0,4148,40,"), HasSubstr("the bytes of a slice must be a whole number"));
  EXPECT_THAT(edited("[0,4144,40,", "[2,4144,40,"), HasSubstr("the file of a slice"));
  EXPECT_THAT(edited("[0,4144,40,", "[0,4144,36,"), HasSubstr("bytes are not those of its elements"));
  EXPECT_THAT(edited("\"shard_00001", "\"../shard_00001"), HasSubstr("no name of a shard"));
  EXPECT_THAT(edited("\"second_moment\"", "\"third_moment\""), HasSubstr("\"third_moment\" is not known"));
  EXPECT_THAT(edited("\"BF16\"", "\"F8\""), HasSubstr("\"F8\" is not known"));
  EXPECT_THAT(edited("[16]", "[-16]"), HasSubstr("a dimension of a shape"));
  EXPECT_THAT(edited("[16]", "[4294967296,4294967296]"), HasSubstr("more elements than a file can hold"));
  EXPECT_THAT(edited("\"step\"", "\"Step\""), HasSubstr("\"step\" is missing"));
  EXPECT_THAT(edited("\"step\"", "\"Step\""),
              AllOf(StartsWith("run/step_00000340/manifest.json: "),
                    HasSubstr("`orthant checkpoint verify run/step_00000340`")));
}

TEST(CheckpointManifest, OfALaterFormatNamesTheProgramToUse) {
  std::string later = Edited(ToText(Small()), "\"format\": 1", "\"format\": 7");
  later = Edited(later, "\"version\": \"0.1.0\"", "\"version\": \"3.2.1\"");
  EXPECT_EQ(
      Message(ParseManifest(later, "s/manifest.json")),
      "s/manifest.json: was written by Orthant 3.2.1 in format 7, and this Orthant reads 1: use Orthant "
      "3.2.1 or a later one");
  // Its checksum may be another one.
  EXPECT_THAT(
      Message(ParseManifest("{\"format\": 2, \"version\": \"4.0.0\", \"digest\": 1}", "s/manifest.json")),
      AllOf(HasSubstr("use Orthant 4.0.0 or a later one"), HasSubstr("or the file is damaged")));
}

TEST(CheckpointManifest, TakesAnyBytesInTextsOfTheRun) {
  CheckpointManifest manifest = Small();
  manifest.run["path"] = "run\xff\xfe";
  EXPECT_TRUE(ParseManifest(ToText(manifest), "s/manifest.json").ok());
}

TEST(CheckpointManifest, ReadFromAFolder) {
  const TempFolder temp;
  EXPECT_THAT(Message(ReadCheckpointManifest(temp / "no")), HasSubstr("there is no such folder"));
  EXPECT_THAT(Message(ReadCheckpointManifest(temp.path())), HasSubstr("manifest.json: is missing"));
  std::ofstream(temp / "manifest.json") << ToText(Small());
  EXPECT_TRUE(ReadCheckpointManifest(temp.path()).ok());
}

}  // namespace
}  // namespace orthant::testing
