// Token files and data.json that are missing, damaged or foreign: exit code 5 and a message that says what to
// do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/data/dataset.h"
#include "orthant/data/manifest.h"
#include "orthant/data/token_file.h"
#include "unit/data/folder.h"

namespace orthant {
namespace {

using testing::Folder;
using ::testing::HasSubstr;
using testing::Uint16Bytes;

// A folder as prepared: 6 training and 3 validation tokens, vocabulary 4.
class DamageTest : public ::testing::Test {
 protected:
  DamageTest() {
    folder_.Write("d/train.bin", Uint16Bytes({0, 1, 2, 3, 0, 1}));
    folder_.Write("d/val.bin", Uint16Bytes({3, 2, 1}));
    WriteJson(Good());
  }

  static nlohmann::json Good() {
    return {{"format", "orthant-tokens"},
            {"version", 1},
            {"vocabulary_size", 4},
            {"dtype", "uint16"},
            {"train", {{"tokens", 6}}},
            {"val", {{"tokens", 3}}},
            {"tokenizer", {{"kind", "char"}, {"characters", "abcd"}}}};
  }
  void WriteJson(const nlohmann::json& json) { folder_.Write("d/data.json", json.dump()); }
  absl::Status Open(const std::string& tokenizer = "") {
    DataConfig config;
    config.path = folder_ / "d";
    config.tokenizer = tokenizer;
    return OpenDataset(config).status();
  }
  std::string DataFailure() {
    const absl::Status status = Open();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kData) << status;
    EXPECT_THAT(status.message(), HasSubstr(folder_ / "d"));
    EXPECT_THAT(status.message(), HasSubstr("data prepare"));
    return std::string(status.message());
  }
  std::string JsonFailure(const std::function<void(nlohmann::json&)>& damage) {
    nlohmann::json json = Good();
    damage(json);
    WriteJson(json);
    return DataFailure();
  }

  Folder folder_;
};

TEST_F(DamageTest, TheFolderIsWholeToBeginWith) {
  EXPECT_TRUE(Open().ok()) << Open();
  EXPECT_TRUE(Open("char").ok());
}

TEST_F(DamageTest, Missing) {
  std::filesystem::remove(folder_ / "d/val.bin");
  EXPECT_THAT(DataFailure(), HasSubstr("val.bin is missing"));
  std::filesystem::remove(folder_ / "d/data.json");
  EXPECT_THAT(DataFailure(), HasSubstr("data.json is missing; train.bin stands there without it"));
  std::filesystem::remove(folder_ / "d/train.bin");
  EXPECT_THAT(DataFailure(), HasSubstr("holds no prepared tokens"));
  std::filesystem::remove(folder_ / "d");
  EXPECT_THAT(DataFailure(), HasSubstr("does not exist"));
}

TEST_F(DamageTest, EmptyTruncatedLongOrOdd) {
  folder_.Write("d/train.bin", "");
  EXPECT_THAT(DataFailure(), HasSubstr("train.bin is empty"));
  folder_.Write("d/train.bin", Uint16Bytes({0, 1, 2, 3, 0}));
  EXPECT_THAT(DataFailure(),
              HasSubstr("holds 5 uint16 tokens, but data.json beside it says 6: the file is truncated"));
  folder_.Write("d/train.bin", Uint16Bytes({0, 1, 2, 3, 0, 1, 2}));
  EXPECT_THAT(DataFailure(), HasSubstr("longer than it was written"));
  folder_.Write("d/train.bin", "odd");
  EXPECT_THAT(DataFailure(), HasSubstr("3 bytes, which is not a whole number of uint16 tokens"));
}

TEST_F(DamageTest, AnIdBeyondTheVocabulary) {
  folder_.Write("d/train.bin", Uint16Bytes({0, 1, 2, 3, 4, 9}));
  EXPECT_THAT(DataFailure(), HasSubstr("train.bin: token 4 is 4, beyond the vocabulary of 4"));
}

TEST_F(DamageTest, ForeignOrBrokenJson) {
  folder_.Write("d/data.json", "{");
  DataFailure();
  folder_.Write("d/data.json", "[1]");
  EXPECT_THAT(DataFailure(), HasSubstr("not written by Orthant"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["format"] = "other"; }), HasSubstr("not written by Orthant"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["version"] = 2; }), HasSubstr("\"version\" is 2"));
  EXPECT_THAT(JsonFailure([](auto& j) { j.erase("version"); }), HasSubstr("\"version\" is missing"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["dtype"] = "int8"; }), HasSubstr("dtype"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["dtype"] = 16; }), HasSubstr("dtype"));
  EXPECT_THAT(JsonFailure([](auto& j) { j.erase("train"); }), HasSubstr("\"train\" must be"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["val"]["tokens"] = "3"; }),
              HasSubstr("\"tokens\" must be a whole number"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["val"]["tokens"] = 0; }),
              HasSubstr("\"tokens\" must be a whole number"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["vocabulary_size"] = 5; }), HasSubstr("tokenizer has 4 entries"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["tokenizer"] = "char"; }), HasSubstr("kind"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["sources"] = {1}; }), HasSubstr("\"bytes\" must be"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["preparing"] = true; }), HasSubstr("interrupted"));
  EXPECT_THAT(JsonFailure([](auto& j) { j["preparing"] = 3; }), HasSubstr("preparing"));
}

TEST_F(DamageTest, TokenizerOtherThanPreparedIsAMistakeOfTheConfiguration) {
  const absl::Status status = Open("byte");
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(status.message(), HasSubstr("data.tokenizer=byte"));
  EXPECT_THAT(status.message(), HasSubstr("tokenizer char"));
}

TEST_F(DamageTest, FoldersMadeElsewhereNeedOnlyASmallDataJson) {
  nlohmann::json json = Good();
  json.erase("tokenizer");
  WriteJson(json);
  DataConfig config;
  config.path = folder_ / "d";
  const auto dataset = OpenDataset(config);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->tokenizer, nullptr);
  EXPECT_EQ(ExitCodeOf(Open("char")), ExitCode::kConfiguration);
}

TEST_F(DamageTest, AnUnsetPathIsAMistakeOfTheConfiguration) {
  const absl::Status status = OpenDataset(DataConfig{}).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
  EXPECT_THAT(status.message(), HasSubstr("data.path is not set"));
}

TEST(TokenFile, WhatTheSampledScanMissesIsFoundWhenRead) {
  const Folder folder;
  std::vector<int> ids(40'000'000, 1);
  ids[20'000'007] = 7;  // between the stretches that are looked at
  const std::string path = folder.Write("train.bin", Uint16Bytes(ids));
  EXPECT_FALSE(TokenFile::Open(path, TokenType::kUint16, 40'000'000, 4).ok());
  const auto file = TokenFile::Open(path, TokenType::kUint16, 40'000'000, 4, 1 << 20);
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<int64_t> out(64);
  EXPECT_TRUE(file->Read(100, absl::MakeSpan(out)).ok());
  const absl::Status status = file->Read(20'000'000, absl::MakeSpan(out));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
  EXPECT_THAT(status.message(), HasSubstr("token 20000007 is 7, beyond the vocabulary of 4"));
  EXPECT_FALSE(file->ScanAll().ok());
}

TEST(TokenFile, TheSampledScanLooksAtBothEnds) {
  const Folder folder;
  for (const size_t at : {size_t{0}, size_t{299'999}}) {
    std::vector<int> ids(300'000, 1);
    ids[at] = 7;
    const std::string path = folder.Write("train.bin", Uint16Bytes(ids));
    EXPECT_FALSE(TokenFile::Open(path, TokenType::kUint16, 300'000, 4, 1000).ok()) << at;
  }
}

TEST(TokenFile, ReadingOutsideIsABug) {
  const Folder folder;
  const std::string path = folder.Write("t.bin", Uint16Bytes({0, 1, 2}));
  const auto file = TokenFile::Open(path, TokenType::kUint16, 3, 4);
  ASSERT_TRUE(file.ok());
  std::vector<int64_t> out(2);
  EXPECT_TRUE(file->Read(1, absl::MakeSpan(out)).ok());
  EXPECT_EQ(ExitCodeOf(file->Read(2, absl::MakeSpan(out))), ExitCode::kInternal);
  EXPECT_EQ(ExitCodeOf(file->Read(-1, absl::MakeSpan(out))), ExitCode::kInternal);
}

TEST(Synthetic, IsAPureFunctionOfThePosition) {
  DataConfig config;
  config.source = "synthetic";
  config.synthetic_vocab = 11;
  config.synthetic_tokens = 10000;
  const auto dataset = OpenDataset(config);
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ(dataset->vocabulary_size, 11);
  std::vector<int64_t> all(10000), part(777), validation(777);
  ASSERT_TRUE(dataset->train->Read(0, absl::MakeSpan(all)).ok());
  ASSERT_TRUE(dataset->train->Read(1234, absl::MakeSpan(part)).ok());
  ASSERT_TRUE(dataset->validation->Read(0, absl::MakeSpan(validation)).ok());
  EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + 1234));
  EXPECT_FALSE(std::equal(validation.begin(), validation.end(), all.begin()));
  std::vector<int> count(11, 0);
  for (const int64_t id : all) {
    ASSERT_TRUE(id >= 0 && id < 11);
    ++count[static_cast<size_t>(id)];
  }
  for (const int c : count) EXPECT_NEAR(c, 10000 / 11.0, 5 * 30);
}

}  // namespace
}  // namespace orthant
