// Every mistake a user can make in a configuration, with the whole message.
#include <string>
#include <vector>

#include "config_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/config/config.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string MessageOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
  SampleConfig c;
  const auto loaded = LoadText(text, overrides, c);
  EXPECT_FALSE(loaded.ok());
  EXPECT_EQ(ExitCodeOf(loaded.status()), ExitCode::kConfiguration);
  return std::string(loaded.status().message());
}

struct Mistake {
  const char* yaml;
  const char* message;
};
class Mistakes : public ::testing::TestWithParam<Mistake> {};
TEST_P(Mistakes, AreToldWithFileAndLine) {
  EXPECT_EQ(MessageOf(GetParam().yaml), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, Mistakes,
    ::testing::Values(
        Mistake{"model: {layers: 2}\nparallel:\n  tenser: 2\n",
                "run.yaml:3: unknown key 'parallel.tenser'; did you mean parallel.tensor?"},
        Mistake{"modle: {layers: 2}\n", "run.yaml:1: unknown key 'modle'; did you mean model?"},
        Mistake{"inclode: x.yaml\n", "run.yaml:1: unknown key 'inclode'; did you mean include?"},
        Mistake{"model: {lr: 0.1}\n", "run.yaml:1: unknown key 'model.lr'; did you mean train.lr?"},
        Mistake{
            "parallel.tensor: 2\n",
            "run.yaml:1: unknown key 'parallel.tensor'; sections are nested: write parallel: {tensor: ...}"},
        Mistake{"parallel: {zzzzz: 2}\n", "run.yaml:1: unknown key 'parallel.zzzzz'; parallel has: tensor"},
        Mistake{"model: {rope: {thet: 1}}\n",
                "run.yaml:1: unknown key 'model.rope.thet'; did you mean model.rope.theta?"},
        Mistake{"model:\n  layers: 2\n\n  layers: 3\n",
                "run.yaml:4: duplicate key 'model.layers'; it is also on line 2"},
        Mistake{"model: {layers: 2}\ntrain: {lr: 1}\nmodel: {heads: 2}\n",
                "run.yaml:3: duplicate key 'model'; it is also on line 1"},
        Mistake{"model: 3\n", "run.yaml:1: model is a section: a map of keys, not '3'"},
        Mistake{"model: [1]\n", "run.yaml:1: model is a section: a map of keys, not a list"},
        Mistake{"[1, 2]: 3\n", "run.yaml:1: a key of the file is not a word"},
        Mistake{"- 1\n", "run.yaml:1: a configuration is a map of sections, as 'model: {layers: 4}'"},
        Mistake{"model: {layers: 2}\n---\nmodel: {layers: 3}\n",
                "run.yaml: holds 2 documents (parted by '---'); only one is allowed"}));

INSTANTIATE_TEST_SUITE_P(
    Types, Mistakes,
    ::testing::Values(
        Mistake{"model:\n  layers: four\n", "run.yaml:2: model.layers: 'four' is not an integer"},
        Mistake{"model: {layers: 4.5}\n",
                "run.yaml:1: model.layers: '4.5' is not an integer; the nearest are 4 and 5"},
        Mistake{"model: {layers: 1e-3}\n",
                "run.yaml:1: model.layers: '1e-3' is not an integer; the nearest are 0 and 1"},
        Mistake{"model: {layers: 4x}\n", "run.yaml:1: model.layers: '4x' is not an integer"},
        Mistake{"model: {layers: _4}\n", "run.yaml:1: model.layers: '_4' is not an integer"},
        Mistake{"model: {layers: 4__0}\n", "run.yaml:1: model.layers: '4__0' is not an integer"},
        Mistake{"model: {layers: inf}\n", "run.yaml:1: model.layers: 'inf' is not an integer"},
        Mistake{"model: {layers: +-4}\n", "run.yaml:1: model.layers: '+-4' is not an integer"},
        Mistake{"model: {layers: \"4\"}\n",
                "run.yaml:1: model.layers: '\"4\"' (text, between quotes) is not an integer"},
        Mistake{"model: {layers: [4]}\n", "run.yaml:1: model.layers: is a list; it must be integer"},
        Mistake{"model: {family: {a: 1}}\n",
                "run.yaml:1: model.family: is a map; it must be one of gpt2, llama"},
        Mistake{"model:\n  layers:\n",
                "run.yaml:2: model.layers: has no value; leave the key out for its default"},
        Mistake{"run: {name: }\n",
                "run.yaml:1: run.name: has no value; write \"\" for an empty text, or leave the key out for "
                "its default"},
        Mistake{"train: {lr: fast}\n", "run.yaml:1: train.lr: 'fast' is not a number"},
        Mistake{"train: {lr: nan}\n", "run.yaml:1: train.lr: 'nan' is not a number"},
        Mistake{"train: {lr: 1e999}\n", "run.yaml:1: train.lr: '1e999' does not fit a double"},
        Mistake{"train: {clip: maybe}\n",
                "run.yaml:1: train.clip: 'maybe' is neither true nor false (yes, no, on and off serve too)"},
        Mistake{"train: {clip: 1}\n",
                "run.yaml:1: train.clip: '1' is neither true nor false (yes, no, on and off serve too)"},
        Mistake{"model: {family: lama}\n",
                "run.yaml:1: model.family: 'lama' is not one of gpt2, llama; did you mean llama?"},
        Mistake{"model: {family: mamba-9}\n",
                "run.yaml:1: model.family: 'mamba-9' is not one of gpt2, llama"},
        Mistake{"train: {betas: 0.9}\n", "run.yaml:1: train.betas: '0.9' is not a list of reals, as [a, b]"},
        Mistake{"train:\n  betas: [0.9]\n", "run.yaml:2: train.betas: has 1 elements; it must have 2"},
        Mistake{"train: {betas: [0.9, x]}\n", "run.yaml:1: train.betas[1]: 'x' is not a number"},
        Mistake{"train: {order: [[a]]}\n", "run.yaml:1: train.order[0]: is not a single value"}));

INSTANTIATE_TEST_SUITE_P(
    Ranges, Mistakes,
    ::testing::Values(
        Mistake{"model: {layers: 0}\n",
                "run.yaml:1: model.layers: '0' is out of range: must be at least 1; the nearest legal value "
                "is 1"},
        Mistake{
            "model: {heads: 0}\n",
            "run.yaml:1: model.heads: '0' is out of range: must be above 0; the nearest legal value is 1"},
        Mistake{
            "model: {heads: 3000000000}\n",
            "run.yaml:1: model.heads: '3000000000' is out of range: must be at most 2147483647; the nearest "
            "legal value is 2147483647"},
        Mistake{
            "train: {steps: 9223372036854775808}\n",
            "run.yaml:1: train.steps: '9223372036854775808' does not fit 64 bits; the nearest legal value is "
            "9223372036854775807"},
        Mistake{"model: {dropout: 1}\n", "run.yaml:1: model.dropout: '1' is out of range: must be below 1"},
        Mistake{"model: {dropout: -0.1}\n",
                "run.yaml:1: model.dropout: '-0.1' is out of range: must be at least 0; the nearest legal "
                "value is 0"},
        Mistake{"train: {lr: .inf}\n",
                "run.yaml:1: train.lr: '.inf' is out of range: must be at most 10; the nearest legal value "
                "is 10"},
        Mistake{"train: {stages: [3, 0]}\n",
                "run.yaml:1: train.stages[1]: '0' is out of range: must be at least 1; the nearest legal "
                "value is 1"}));

TEST(ConfigErrors, BrokenYamlHasItsLine) {
  EXPECT_THAT(MessageOf("model:\n  layers: [1, 2\ntrain: {}\n"),
              StartsWith("run.yaml:3: is not valid YAML: "));
  EXPECT_THAT(MessageOf("model:\n\tlayers: 1\n"), HasSubstr(": is not valid YAML: "));
}

TEST(ConfigErrors, AllAreTold) {
  EXPECT_EQ(
      MessageOf("model:\n  layers: four\n  hedas: 2\ntrain: {lr: 11}\n", {"train.clip=2", "modle.layers=3"}),
      "run.yaml:2: model.layers: 'four' is not an integer\n"
      "run.yaml:3: unknown key 'model.hedas'; did you mean model.heads?\n"
      "run.yaml:4: train.lr: '11' is out of range: must be at most 10; the nearest legal value is 10\n"
      "command line: train.clip: '2' is neither true nor false (yes, no, on and off serve too)\n"
      "command line: unknown key 'modle.layers'; did you mean model.layers?");
}

TEST(ConfigErrors, Overrides) {
  EXPECT_EQ(MessageOf("", {"parallel.tenser=2"}),
            "command line: unknown key 'parallel.tenser'; did you mean parallel.tensor?");
  EXPECT_EQ(MessageOf("", {"parallel.tensor"}),
            "command line: 'parallel.tensor' is not of the form key=value");
  EXPECT_EQ(MessageOf("", {"=2"}), "command line: '=2' is not of the form key=value");
  EXPECT_EQ(MessageOf("", {"parallel=2"}),
            "command line: parallel is a section; set one of its keys, as parallel.KEY=VALUE");
  EXPECT_EQ(MessageOf("", {"model.layers="}), "command line: model.layers: '' is not an integer");
  EXPECT_THAT(MessageOf("", {"train.betas=[0.9, ["}),
              StartsWith("command line: train.betas: '[0.9, [' is not valid"));
}

TEST(ConfigErrors, RequiredKeysAreAskedFor) {
  std::string path;
  const auto describe = [&](Fields& f) {
    f.Section("data", "", [&](Fields& s) { s.Text("path", &path).Required().Doc("Where the tokens are."); });
  };
  const auto missing = LoadConfigFromText("data: {}", "run.yaml", {}, describe);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().message(), "run.yaml: data.path is missing. Where the tokens are.");
  EXPECT_TRUE(LoadConfigFromText("", "run.yaml", {"data.path=x"}, describe).ok());
  EXPECT_EQ(path, "x");
}

}  // namespace
}  // namespace orthant::testing
