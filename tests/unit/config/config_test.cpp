#include "orthant/config/config.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "config_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ConfigLoad, TakesValuesAndKeepsDefaults) {
  SampleConfig c;
  const auto loaded = LoadText(
      "model:\n"
      "  layers: 12\n"
      "  dropout: 1e-1\n"
      "  family: llama\n"
      "train: {steps: 1_000, lr: 3e-4, clip: yes, betas: [0.9, 0.99], stages: [3, 4], order: [a, 'b c']}\n",
      {}, c);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(c.layers, 12);
  EXPECT_EQ(c.heads, 4);
  EXPECT_DOUBLE_EQ(c.dropout, 0.1);
  EXPECT_EQ(c.family, "llama");
  EXPECT_EQ(c.steps, 1000);
  EXPECT_DOUBLE_EQ(c.lr, 3e-4);
  EXPECT_TRUE(c.clip);
  EXPECT_THAT(c.betas, ElementsAre(0.9, 0.99));
  EXPECT_THAT(c.stages, ElementsAre(3, 4));
  EXPECT_THAT(c.order, ElementsAre("a", "b c"));
}

TEST(ConfigLoad, EmptyFileAndEmptySectionAreAllDefaults) {
  for (const char* text : {"", "# only a comment\n", "model:\n", "model: {}\n"}) {
    SampleConfig c;
    const auto loaded = LoadText(text, {}, c);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(c.layers, 4);
    EXPECT_TRUE(loaded->IsDefault("model.layers"));
  }
}

struct Accepted {
  const char* text;
  int64_t value;
};
class IntegerForms : public ::testing::TestWithParam<Accepted> {};
TEST_P(IntegerForms, AreAccepted) {
  SampleConfig c;
  const auto loaded = LoadText(std::string("train: {steps: ") + GetParam().text + "}", {}, c);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(c.steps, GetParam().value);
}
INSTANTIATE_TEST_SUITE_P(All, IntegerForms,
                         ::testing::Values(Accepted{"7", 7}, Accepted{"+7", 7},
                                           Accepted{"1_000_000", 1000000}, Accepted{"1e6", 1000000},
                                           Accepted{"2.5e3", 2500},
                                           Accepted{"9223372036854775807", INT64_MAX}));

TEST(ConfigLoad, BooleansInAllForms) {
  for (const char* yes : {"true", "yes", "on", "True", "YES"}) {
    SampleConfig c;
    ASSERT_TRUE(LoadText(std::string("train: {clip: ") + yes + "}", {}, c).ok());
    EXPECT_TRUE(c.clip) << yes;
  }
  for (const char* no : {"false", "no", "off", "Off"}) {
    SampleConfig c;
    c.clip = true;
    ASSERT_TRUE(LoadText(std::string("train: {clip: ") + no + "}", {}, c).ok());
    EXPECT_FALSE(c.clip) << no;
  }
}

TEST(ConfigOverrides, WinOverTheFileAndKeepTheirOrigin) {
  SampleConfig c;
  const auto loaded = LoadText("model:\n  layers: 12\n  heads: 8\n",
                               {"model.layers=6", "train.lr=1e-3", "train.betas=0.8,0.9"}, c);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(c.layers, 6);
  EXPECT_THAT(c.betas, ElementsAre(0.8, 0.9));
  EXPECT_EQ(loaded->OriginOf("model.layers"), "command line");
  EXPECT_EQ(loaded->OriginOf("model.heads"), "run.yaml:3");
  EXPECT_EQ(loaded->OriginOf("model.dropout"), "default");
  EXPECT_EQ(loaded->OriginOf("no.such"), "");
  EXPECT_EQ(loaded->Cite("model.heads"), "run.yaml:3: model.heads = 8");
}

TEST(ConfigOverrides, TextIsTakenAsItStandsUnlessQuoted) {
  SampleConfig c;
  ASSERT_TRUE(LoadText("", {"run.name=ROMEO: [x"}, c).ok());
  EXPECT_EQ(c.name, "ROMEO: [x");
  ASSERT_TRUE(LoadText("", {"run.name=a=b"}, c).ok());
  EXPECT_EQ(c.name, "a=b");
  ASSERT_TRUE(LoadText("", {"run.name=\"two\\nlines\""}, c).ok());
  EXPECT_EQ(c.name, "two\nlines");
  ASSERT_TRUE(LoadText("", {"run.name="}, c).ok());
  EXPECT_EQ(c.name, "");
}

TEST(ConfigOverrides, TheLastOfTwoWins) {
  SampleConfig c;
  ASSERT_TRUE(LoadText("", {"model.layers=2", "model.layers=3"}, c).ok());
  EXPECT_EQ(c.layers, 3);
}

TEST(ConfigFields, DescribingAKeyTwiceIsABug) {
  int64_t value = 0;
  Fields fields;
  fields.Integer("a", &value);
  EXPECT_THROW(fields.Integer("a", &value), std::logic_error);
  EXPECT_THROW(fields.Section("a", "", [](Fields&) {}), std::logic_error);
}

TEST(ConfigDump, LoadsBackToTheSameValues) {
  SampleConfig c;
  c.name = "odd: \"name\" # \\ \t\n\x01 é";
  c.lr = 0.1 + 0.2;
  c.order = {"null", "", "a, b", "- x", "123", "~"};
  c.stages = {};
  c.steps = INT64_MAX;
  c.dropout = std::numeric_limits<double>::denorm_min();
  const auto loaded = LoadText("model:\n  layers: 12\n", {"model.heads=2"}, c);
  ASSERT_TRUE(loaded.ok()) << loaded.status();

  SampleConfig back;
  const auto again = LoadText(loaded->Dump(), {}, back);
  ASSERT_TRUE(again.ok()) << again.status() << loaded->Dump();
  EXPECT_THAT(loaded->Diff(*again), ElementsAre());
  EXPECT_EQ(back.name, c.name);
  EXPECT_EQ(back.lr, c.lr);
  EXPECT_EQ(back.order, c.order);
  EXPECT_EQ(back.dropout, c.dropout);
  EXPECT_EQ(again->OriginOf("model.rope.theta").substr(0, 9), "run.yaml:");
}

TEST(ConfigDump, TellsWhereEachValueCameFrom) {
  SampleConfig c;
  const auto loaded = LoadText("model:\n  layers: 12\n", {"model.heads=2"}, c);
  ASSERT_TRUE(loaded.ok());
  const std::string dump = loaded->Dump();
  EXPECT_THAT(dump, ::testing::ContainsRegex("  layers: 12 +# run.yaml:2\n"));
  EXPECT_THAT(dump, ::testing::ContainsRegex("  heads: 2 +# command line\n"));
  EXPECT_THAT(dump, ::testing::ContainsRegex("  dropout: 0.0 +# default\n"));
  EXPECT_THAT(dump, ::testing::ContainsRegex("  rope:\n    theta: 10000.0 +# default\n"));
}

TEST(ConfigDump, JsonHasTheSameValuesNested) {
  SampleConfig c;
  const auto loaded = LoadText("train: {betas: [0.5, 0.25]}\n", {}, c);
  ASSERT_TRUE(loaded.ok());
  const nlohmann::ordered_json json = loaded->ToJson();
  EXPECT_EQ(json["model"]["layers"], 4);
  EXPECT_EQ(json["model"]["rope"]["theta"], 10000.0);
  EXPECT_EQ(json["train"]["betas"], (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(json["train"]["clip"], false);
}

TEST(ConfigUpdate, MarksComputedValues) {
  SampleConfig c;
  auto loaded = LoadText("model: {layers: 12}\n", {}, c);
  ASSERT_TRUE(loaded.ok());
  c.heads = 16;
  loaded->Update([&](Fields& f) { Describe(f, c); });
  EXPECT_EQ(loaded->OriginOf("model.heads"), "computed");
  EXPECT_EQ(loaded->OriginOf("model.layers"), "run.yaml:1");
  EXPECT_EQ(loaded->Cite("model.heads"), "computed: model.heads = 16");
}

TEST(ConfigDiff, ListsKeysThatDifferExceptIgnoredOnes) {
  SampleConfig a, b;
  const auto left = LoadText("", {"model.layers=2", "train.lr=1e-3", "run.name=x"}, a);
  const auto right = LoadText("", {"model.layers=3", "train.lr=2e-3", "run.name=y"}, b);
  ASSERT_TRUE(left.ok() && right.ok());
  const auto all = left->Diff(*right);
  ASSERT_EQ(all.size(), 3u);
  const auto some = left->Diff(*right, {"train", "run.name"});
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0].key, "model.layers");
  EXPECT_EQ(some[0].left, "2");
  EXPECT_EQ(some[0].right, "3");
  // A prefix is a section, not the beginning of a word.
  EXPECT_EQ(left->Diff(*right, {"mod", "run.na"}).size(), 3u);
}

TEST(ConfigReferenceTest, HasATableASection) {
  SampleConfig c;
  const std::string text = ConfigReference([&](Fields& f) { Describe(f, c); });
  EXPECT_THAT(
      text, HasSubstr("## `model`\n\nThe model.\n\n| key | type | unit | default | range | what it does |"));
  EXPECT_THAT(text,
              HasSubstr("| `model.layers` | integer | blocks | `4` | at least 1 | Transformer blocks. |"));
  EXPECT_THAT(text,
              HasSubstr("| `model.family` | one of |  | `gpt2` | `gpt2`, `llama` | What \\| is built. |"));
  EXPECT_THAT(text, HasSubstr("## `model.rope`"));
  EXPECT_THAT(text, HasSubstr("| `train.buffer` | bytes |  | `64 MiB` | at least 4 KiB | Bytes. |"));
  EXPECT_THAT(text, HasSubstr("| `model.dropout` | real |  | `0.0` | at least 0, below 1 |"));
}

}  // namespace
}  // namespace orthant::testing
