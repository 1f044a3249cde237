// Tokenizers: what goes in comes out, and what cannot is named.
#include "orthant/data/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/data/byte_tokenizer.h"
#include "orthant/data/char_tokenizer.h"
#include "orthant/data/utf8.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CharTokenizer Built(std::string_view text) {
  CharTokenizer::Builder builder;
  int64_t characters = 0;
  EXPECT_TRUE(builder.Add(text, "text", 0, &characters).ok());
  return builder.Build();
}

TEST(Utf8, ReadsEveryLengthAndWritesItBack) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";  // a, e acute, euro, a face
  std::vector<char32_t> read;
  std::string written;
  for (size_t offset = 0; offset < text.size();) {
    const auto c = DecodeUtf8(text, &offset);
    ASSERT_TRUE(c.has_value());
    read.push_back(*c);
    AppendUtf8(*c, &written);
  }
  EXPECT_THAT(read, ElementsAre(0x61, 0xE9, 0x20AC, 0x1F600));
  EXPECT_EQ(written, text);
}

TEST(Utf8, RefusesWhatRfc3629Refuses) {
  const std::vector<std::string> wrong = {
      "\x80",              // continuation without a lead
      "\xC0\x80",          // overlong
      "\xE0\x80\x80",      // overlong
      "\xED\xA0\x80",      // surrogate
      "\xF4\x90\x80\x80",  // beyond U+10FFFF
      "\xE2\x82",          // cut off
      "\xC3(",             // not a continuation
      "\xFF",
  };
  for (const std::string& text : wrong) {
    size_t offset = 0;
    EXPECT_FALSE(DecodeUtf8(text, &offset).has_value()) << text;
    EXPECT_EQ(offset, 0u);
  }
}

TEST(Utf8, BoundaryNeverCutsACharacter) {
  const std::string text =
      "ab\xE2\x82\xAC"
      "c";
  EXPECT_EQ(Utf8Boundary(text, 1), 1u);
  EXPECT_EQ(Utf8Boundary(text, 2), 2u);
  EXPECT_EQ(Utf8Boundary(text, 3), 2u);
  EXPECT_EQ(Utf8Boundary(text, 4), 2u);
  EXPECT_EQ(Utf8Boundary(text, 5), 5u);
  EXPECT_EQ(Utf8Boundary(text, 99), text.size());
}

TEST(CharTokenizer, SortsTheVocabularyByCodePoint) {
  const CharTokenizer tokenizer = Built(
      "ba\xE2\x82\xAC"
      "a\n");
  EXPECT_EQ(tokenizer.vocabulary_size(), 4);
  const auto ids = tokenizer.Encode("\nab\xE2\x82\xAC");
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(*ids, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(*tokenizer.Decode(*ids), "\nab\xE2\x82\xAC");
}

TEST(CharTokenizer, NamesAnUnknownCharacter) {
  const auto ids = Built("abc").Encode("ab\xC3\xA9");
  EXPECT_EQ(ExitCodeOf(ids.status()), ExitCode::kConfiguration);
  EXPECT_THAT(ids.status().message(), HasSubstr("'\xC3\xA9' (U+00E9) at position 2"));
  EXPECT_THAT(ids.status().message(), HasSubstr("3 characters of the data: abc"));
}

TEST(CharTokenizer, NamesTheByteThatIsNotUtf8) {
  CharTokenizer::Builder builder;
  int64_t characters = 0;
  const absl::Status status = builder.Add("ab\xFF", "play.txt", 100, &characters);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
  EXPECT_THAT(status.message(), HasSubstr("play.txt: not UTF-8 at byte 102"));
  EXPECT_THAT(Built("ab").Encode("a\xFF").status().message(), HasSubstr("not UTF-8 at byte 1"));
}

TEST(CharTokenizer, DecodeNamesAnIdBeyondTheVocabulary) {
  EXPECT_THAT(Built("ab").Decode({0, 2}).status().message(), HasSubstr("token id 2 at position 1"));
  EXPECT_FALSE(Built("ab").Decode({-1}).ok());
}

TEST(ByteTokenizer, TakesAnyBytes) {
  std::string text;
  for (int b = 0; b < 256; ++b) text.push_back(static_cast<char>(b));
  const ByteTokenizer tokenizer;
  const auto ids = tokenizer.Encode(text);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(ids->back(), 255);
  EXPECT_EQ(*tokenizer.Decode(*ids), text);
  EXPECT_FALSE(tokenizer.Decode({256}).ok());
}

TEST(TokenizerFromJson, RestoresWhatToJsonWrote) {
  for (const nlohmann::json& json : {Built("h\xC3\xA9llo \"\\\n").ToJson(), ByteTokenizer().ToJson()}) {
    const auto tokenizer = TokenizerFromJson(nlohmann::json::parse(json.dump()));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    EXPECT_EQ((*tokenizer)->ToJson(), json);
    EXPECT_EQ(*(*tokenizer)->Decode(*(*tokenizer)->Encode("h\xC3\xA9llo")), "h\xC3\xA9llo");
  }
}

TEST(TokenizerFromJson, SaysWhatIsWrong) {
  const auto message = [](const char* text) {
    return std::string(TokenizerFromJson(nlohmann::json::parse(text)).status().message());
  };
  EXPECT_THAT(message("[]"), HasSubstr("kind"));
  EXPECT_THAT(message("{}"), HasSubstr("kind"));
  EXPECT_THAT(message(R"({"kind": 7})"), HasSubstr("kind"));
  EXPECT_THAT(message(R"({"kind": "bpe"})"), HasSubstr("\"bpe\" is not one of char, byte"));
  EXPECT_THAT(message(R"({"kind": "char"})"), HasSubstr("characters"));
  EXPECT_THAT(message(R"({"kind": "char", "characters": "ba"})"), HasSubstr("not ascending at entry 1"));
}

}  // namespace
}  // namespace orthant
