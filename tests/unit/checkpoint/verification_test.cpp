#include "orthant/checkpoint/verification.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "orthant/checkpoint/inspection.h"
#include "orthant/core/status.h"
#include "unit/checkpoint/written_checkpoint.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<Values> WithMoments(const ModelConfig& model) {
  std::vector<Values> items = DrawParameters(model, at::kFloat, 3);
  const size_t count = items.size();
  for (size_t i = 0; i < count; ++i) {
    items.push_back({items[i].name, StateKind::kFirstMoment, items[i].values * 0.1});
    items.push_back({items[i].name, StateKind::kSecondMoment, items[i].values.square()});
  }
  return items;
}

// Three kept steps of a run.
class VerificationTest : public ::testing::Test {
 protected:
  VerificationTest() : checkpoints_(TempFolder("verify") + "/checkpoints") {
    for (const int64_t step : {10, 20, 30}) Write(step, WithMoments(TinyModel()));
  }
  void Write(int64_t step, const std::vector<Values>& items) {
    WriteCheckpoint(Folder(step), step, items, {0, 3, 2, 3}, RunOf(TinyModel(), "all"));
  }
  std::string Folder(int64_t step) const { return checkpoints_ + "/" + StepName(step); }
  const std::string checkpoints_;
};

TEST_F(VerificationTest, AWholeOneIsReadToTheLastByte) {
  int64_t last = 0, total = 0;
  const Verification v = VerifyCheckpoint(Folder(20), [&](int64_t done, int64_t of) {
    EXPECT_GT(done, last);
    last = done;
    total = of;
  });
  EXPECT_TRUE(v.whole()) << v.ToText();
  EXPECT_TRUE(v.status().ok());
  EXPECT_EQ(v.step, 20);
  EXPECT_EQ(last, total);
  EXPECT_EQ(v.bytes_read, total);
  EXPECT_THAT(v.others, SizeIs(0));
  EXPECT_THAT(v.ToText(), HasSubstr("whole: step 20"));
  EXPECT_EQ(v.ToJson()["whole"], true);
}

// Every tensor in turn, at the first and last byte of each of its slices.
TEST_F(VerificationTest, EveryFlippedBitNamesItsTensor) {
  const absl::StatusOr<CheckpointManifest> manifest = ReadCheckpointManifest(Folder(30));
  ASSERT_TRUE(manifest.ok());
  int flips = 0;
  for (const auto& [key, tensor] : manifest->tensors) {
    const Slice& slice = tensor.slices[static_cast<size_t>(flips) % tensor.slices.size()];
    const std::string file = manifest->files[slice.file].name;
    const int64_t at = flips % 2 == 0 ? slice.offset : slice.offset + slice.bytes - 1;
    FlipBit(Folder(30) + "/" + file, at, flips % 8);
    const Verification v = VerifyStep(Folder(30), nullptr);
    FlipBit(Folder(30) + "/" + file, at, flips % 8);
    ++flips;
    ASSERT_THAT(v.hurt, SizeIs(1)) << key.first;
    EXPECT_EQ(v.hurt[0].tensor, key.first);
    EXPECT_EQ(v.hurt[0].kind, key.second);
    EXPECT_EQ(v.hurt[0].file, file);
    EXPECT_EQ(v.hurt[0].offset, slice.offset);
  }
  EXPECT_TRUE(VerifyStep(Folder(30), nullptr).whole());
}

TEST_F(VerificationTest, NamesTheNewestOtherStepThatIsWhole) {
  FlipBit(Folder(30) + "/shard_0.bin", 100);
  FlipBit(Folder(20) + "/shard_2.bin", 100);
  const Verification v = VerifyCheckpoint(Folder(30) + "/", nullptr);
  ASSERT_THAT(v.others, SizeIs(2));
  EXPECT_EQ(v.others[0].step, 20);
  EXPECT_FALSE(v.others[0].whole);
  EXPECT_THAT(v.others[0].first_fault, HasSubstr("shard_2.bin does not match its checksum"));
  EXPECT_EQ(v.others[1].step, 10);
  EXPECT_TRUE(v.others[1].whole);
  EXPECT_EQ(ExitCodeOf(v.status()), ExitCode::kData);
  EXPECT_THAT(v.status().message(), HasSubstr("step 10 is whole: " + Folder(10)));
  EXPECT_EQ(v.ToJson()["use"], Folder(10));
  EXPECT_THAT(v.ToText(), HasSubstr("does not match its checksum"));
}

TEST_F(VerificationTest, MissingAndShortFiles) {
  fs::remove(Folder(30) + "/shard_1.bin");
  fs::resize_file(Folder(30) + "/shard_2.bin", 200);
  const Verification v = VerifyStep(Folder(30), nullptr);
  EXPECT_THAT(v.faults, ElementsAre(HasSubstr("shard_1.bin: is missing"), HasSubstr("has 200 bytes")));
  EXPECT_GT(v.hurt.size(), 10u);
  for (const HurtSlice& hurt : v.hurt) EXPECT_NE(hurt.file, "shard_0.bin");
  const auto inspection = InspectCheckpoint(Folder(30));
  ASSERT_TRUE(inspection.ok());
  EXPECT_THAT(inspection->faults, SizeIs(2));
  EXPECT_EQ(ExitCodeOf(inspection->status()), ExitCode::kData);
}

TEST_F(VerificationTest, AManifestThatCannotBeReadIsAFault) {
  FlipBit(Folder(30) + "/" + kCheckpointManifest, 300);
  Verification v = VerifyCheckpoint(Folder(30), nullptr);
  EXPECT_THAT(v.faults, SizeIs(1));
  ASSERT_THAT(v.others, SizeIs(1));
  EXPECT_EQ(v.others[0].step, 20);
  fs::remove(Folder(30) + "/" + kCheckpointManifest);
  v = VerifyCheckpoint(Folder(30), nullptr);
  EXPECT_FALSE(v.whole());
  EXPECT_EQ(v.step, -1);
  EXPECT_THAT(v.status().message(), HasSubstr("step 20 is whole"));
}

TEST_F(VerificationTest, WhatTrainingNeedsAndIsNotThere) {
  std::vector<Values> items = WithMoments(TinyModel());
  std::erase_if(items, [](const Values& item) {
    return (item.name == "h.1.ln_1.weight" && item.kind == StateKind::kSecondMoment) ||
           (item.name == "wpe.weight" && item.kind == StateKind::kParameter);
  });
  Write(40, items);
  const Verification v = VerifyStep(Folder(40), nullptr);
  EXPECT_THAT(v.faults, ::testing::IsSupersetOf({HasSubstr("h.1.ln_1.weight has no second_moment"),
                                                 HasSubstr("wpe.weight has a first_moment and no value")}));
}

TEST_F(VerificationTest, AHeaderThatOthersCannotReadIsAFault) {
  // Made by hand: a shard of the format's name without its header.
  for (const char* file : {"shard_0.bin", "shard_1.bin", "shard_2.bin"}) {
    fs::rename(Folder(10) + "/" + file, Folder(10) + "/" + file + std::string(".safetensors"));
  }
  auto manifest = ReadCheckpointManifest(Folder(10));
  ASSERT_TRUE(manifest.ok());
  for (auto& file : manifest->files) file.name += ".safetensors";
  std::ofstream(Folder(10) + "/" + kCheckpointManifest, std::ios::binary) << ToText(*manifest);
  const Verification v = VerifyStep(Folder(10), nullptr);
  EXPECT_THAT(v.faults, SizeIs(3));
  EXPECT_THAT(v.hurt, SizeIs(0));
  EXPECT_THAT(v.faults[0], HasSubstr("can be loaded"));
}

// One bit of a header's length: it can be read still, and every tensor lies somewhere else.
TEST_F(VerificationTest, AHeaderThatLeadsElsewhereIsAFault) {
  auto manifest = ReadCheckpointManifest(Folder(10));
  ASSERT_TRUE(manifest.ok());
  constexpr int64_t kHeader = 512;
  for (auto& file : manifest->files) {
    std::string json = absl::StrCat(R"({"all":{"dtype":"U8","shape":[)", file.bytes,
                                    R"(],"data_offsets":[0,)", file.bytes, "]}}");
    json.resize(kHeader - 8, ' ');
    const uint64_t length = json.size() | 16;  // the bit that is flipped below
    ASSERT_EQ(length, json.size());
    std::stringstream content;
    content << std::string(reinterpret_cast<const char*>(&length), 8) << json
            << std::ifstream(Folder(10) + "/" + file.name, std::ios::binary).rdbuf();
    fs::remove(Folder(10) + "/" + file.name);
    file.name += ".safetensors";
    file.bytes += kHeader;
    std::ofstream(Folder(10) + "/" + file.name, std::ios::binary) << content.str();
  }
  for (auto& [key, tensor] : manifest->tensors) {
    for (Slice& slice : tensor.slices) slice.offset += kHeader;
  }
  std::ofstream(Folder(10) + "/" + kCheckpointManifest, std::ios::binary) << ToText(*manifest);
  ASSERT_TRUE(VerifyStep(Folder(10), nullptr).whole()) << VerifyStep(Folder(10), nullptr).ToText();
  FlipBit(Folder(10) + "/" + manifest->files[1].name, 0, 4);
  const Verification v = VerifyStep(Folder(10), nullptr);
  EXPECT_THAT(v.faults, ElementsAre(HasSubstr("tensors lie elsewhere")));
  EXPECT_THAT(v.hurt, SizeIs(0));
}

TEST_F(VerificationTest, StraysAreToldAndNoFault) {
  std::ofstream(Folder(10) + "/notes.txt") << "mine";
  const Verification v = VerifyCheckpoint(Folder(10), nullptr);
  EXPECT_TRUE(v.whole());
  EXPECT_THAT(v.strays, ElementsAre("notes.txt"));
}

TEST(InspectionTest, TellsTreeMeshAndModel) {
  ModelConfig model = TinyModel();
  model.layers = 12;
  const std::string folder = TempFolder("inspect");
  WriteCheckpoint(folder, 340, WithMoments(model), {0, 2, 1, 2}, RunOf(model, "all"));
  const auto inspection = InspectCheckpoint(folder);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  EXPECT_TRUE(inspection->status().ok());
  const std::string text = inspection->ToText(false);
  EXPECT_THAT(text, HasSubstr("step 340"));
  EXPECT_THAT(text, HasSubstr("data 2 x tensor 2 x pipeline 1 x sequence 1, 4 ranks"));
  EXPECT_THAT(text, HasSubstr("h.0 .. h.11 (12 alike)"));
  EXPECT_THAT(text, HasSubstr("[3, 8, 8]"));
  EXPECT_THAT(text, HasSubstr("seed 1337"));
  EXPECT_LT(text.find("wte.weight"), text.find("wpe.weight"));
  EXPECT_LT(text.find("ln_1.weight"), text.find("attn.c_attn.weight"));
  EXPECT_LT(text.find("attn.c_proj.weight"), text.find("ln_2.weight"));
  EXPECT_LT(text.find("mlp.c_proj.weight"), text.find("ln_f.weight"));
  const std::string all = inspection->ToText(true);
  EXPECT_LT(all.find("h.2\n"), all.find("h.10\n"));
  EXPECT_THAT(inspection->ToJson()["tensors"], SizeIs(3 * (3 + 12 * 6)));
}

TEST(InspectionTest, ARunPartOfAnyOtherFormIsNoError) {
  const std::string folder = TempFolder("inspect_other");
  for (const nlohmann::ordered_json& run : {nlohmann::ordered_json(), nlohmann::ordered_json(3),
                                            nlohmann::ordered_json{{"model", 1}, {"mesh", "x"}}}) {
    WriteCheckpoint(folder, 1, {{"x", StateKind::kParameter, at::ones({3})}}, {}, run);
    const auto inspection = InspectCheckpoint(folder);
    ASSERT_TRUE(inspection.ok()) << inspection.status();
    EXPECT_THAT(inspection->ToText(false), HasSubstr("step 1"));
    EXPECT_TRUE(VerifyStep(folder, nullptr).whole());
  }
}

}  // namespace
}  // namespace orthant::testing
