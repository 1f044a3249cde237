// SWEEP.yaml: what it comes to, and what is said of each mistake.
#include "orthant/sweep/sweep_file.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Keys of a run, as far as these tests name them.
struct RunKeys {
  int64_t data = 1, tensor = 1, zero = 0, batch = 1;
  std::vector<int64_t> stages;
  std::string path;
  Fields fields;
  RunKeys() {
    fields.Section("parallel", "The mesh.", [this](Fields& f) {
      f.Integer("data", &data).Doc("d.");
      f.Integer("tensor", &tensor).Doc("t.");
      f.Integer("zero", &zero).Doc("z.");
      f.Integers("stages", &stages).Doc("s.");
    });
    fields.Section("data", "Data.", [this](Fields& f) { f.Text("path", &path).Doc("p."); });
    fields.Section("train", "Steps.", [this](Fields& f) { f.Integer("global_batch", &batch).Doc("b."); });
  }
};

const std::string kFolder = std::string(ORTHANT_SOURCE_DIR) + "/configs/sweeps";
const std::string kPath = kFolder + "/test.yaml";

absl::StatusOr<SweepFile> Load(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const RunKeys keys;
  return LoadSweepFromText(text, kPath, overrides, keys.fields);
}

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<SweepFile> file = Load(text);
  EXPECT_FALSE(file.ok()) << text;
  if (file.ok()) return "";
  EXPECT_EQ(ExitCodeOf(file.status()), ExitCode::kConfiguration);
  return std::string(file.status().message());
}

std::vector<std::string> Names(const std::vector<SweepCase>& cases) {
  std::vector<std::string> names;
  for (const SweepCase& one : cases) names.push_back(one.name);
  return names;
}

TEST(SweepFile, ListTimesGridTimesRanks) {
  const auto file = Load(
      "sweep: {name: s, run: tiny.yaml, ranks: [1, 4]}\n"
      "list:\n  - {name: a}\n  - {name: b, fill: tensor, parallel: {stages: [3, 4]}}\n"
      "grid: {parallel.zero: [0, 3]}\n");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->settings.dir, "sweeps/s");
  EXPECT_EQ(file->settings.run, kFolder + "/tiny.yaml");
  const std::vector<SweepCase> cases = CasesOf(*file);
  EXPECT_THAT(Names(cases), ElementsAre("a_zero-0-r1", "a_zero-0-r4", "a_zero-3-r1", "a_zero-3-r4",
                                        "b_zero-0-r1", "b_zero-0-r4", "b_zero-3-r1", "b_zero-3-r4"));
  EXPECT_THAT(cases[1].overrides, ElementsAre("parallel.zero=0", "parallel.tensor=1", "parallel.pipeline=1",
                                              "parallel.sequence=1", "parallel.data=4"));
  EXPECT_THAT(cases[7].overrides,
              ElementsAre("parallel.stages=[3, 4]", "parallel.zero=3", "parallel.data=1",
                          "parallel.pipeline=1", "parallel.sequence=1", "parallel.tensor=4"));
}

TEST(SweepFile, RanksThatDoNotDivideAreTheCasesProblem) {
  const auto file = Load("sweep: {run: tiny.yaml, ranks: [2, 6]}\ngrid: {parallel.tensor: [4]}\n");
  ASSERT_TRUE(file.ok()) << file.status();
  const std::vector<SweepCase> cases = CasesOf(*file);
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_THAT(cases[1].problem, HasSubstr("ranks = 6: the other degrees multiply to 4"));
}

TEST(SweepFile, WeakScalingGrowsTheBatch) {
  const auto file =
      Load("sweep: {run: tiny.yaml, ranks: [1, 8], scaling: weak, batch_per_rank: 3}\nlist: [{name: x}]\n");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(CasesOf(*file)[1].overrides.back(), "train.global_batch=24");
}

TEST(SweepFile, WithoutRanksTheMeshIsTheVariantsOwn) {
  const auto file = Load("sweep: {run: tiny.yaml}\nlist: [{name: x, parallel.tensor: 2}]\n");
  ASSERT_TRUE(file.ok()) << file.status();
  const std::vector<SweepCase> cases = CasesOf(*file);
  ASSERT_EQ(cases.size(), 1u);
  EXPECT_EQ(cases[0].name, "x");
  EXPECT_THAT(cases[0].overrides, ElementsAre("parallel.tensor=2"));
}

TEST(SweepFile, OverridesOfTheCommandLineWin) {
  const auto file = Load("sweep: {run: tiny.yaml, ranks: [1, 2]}\nlist: [{name: x}]\n",
                         {"sweep.ranks=[2]", "sweep.dir=elsewhere"});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(Names(CasesOf(*file)), ElementsAre("x-r2"));
  EXPECT_EQ(file->settings.dir, "elsewhere");
}

TEST(SweepFile, MistakesNameFileAndLine) {
  EXPECT_THAT(ErrorOf("sweep:\n  run: tiny.yaml\ngird: {parallel.zero: [1]}\n"),
              HasSubstr("test.yaml:3: gird: a sweep has the keys sweep, list, grid; did you mean grid?"));
  EXPECT_THAT(ErrorOf("sweep:\n  run: tiny.yaml\n  rank: [1]\nlist: [{name: a}]\n"),
              HasSubstr("test.yaml:3: "));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist:\n  - {name: a, paralel.tensor: 2}\n"),
              HasSubstr("test.yaml:3: paralel.tensor: a run has no such key; did you mean parallel.tensor?"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist:\n  - {name: a}\n  - {name: a}\n"),
              HasSubstr("test.yaml:4: list: name = a: there is another"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist: [{parallel.zero: 2}]\n"),
              HasSubstr("a variant without a name"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist: [{name: ../up}]\n"), HasSubstr("it names a folder"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\ngrid:\n  parallel.zero: 1\n"),
              HasSubstr("test.yaml:3: parallel.zero: must be a list"));
  EXPECT_THAT(ErrorOf("sweep: {run: nowhere.yaml}\n"), HasSubstr("nowhere.yaml does not exist"));
  EXPECT_THAT(ErrorOf("list: [{name: a}]\n"), HasSubstr("there is no section sweep"));
}

TEST(SweepFile, KeysThatTheSweepSetsAreRefused) {
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist: [{name: a, run.dir: x}]\n"), HasSubstr("run.dir"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml, ranks: [4]}\nlist: [{name: a, parallel.data: 2}]\n"),
              HasSubstr("parallel.data takes what sweep.ranks leaves"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml, ranks: [4], scaling: weak}\n"),
              HasSubstr("wants sweep.batch_per_rank"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist: [{name: a, parallel.zero: 1}]\n"
                      "grid: {parallel.zero: [1, 2]}\n"),
              HasSubstr("is set by the variant a and by the grid"));
}

// Each variant has its folder: two that would share one are refused before any runs.
TEST(SweepFile, VariantsOfOneFolderAreRefused) {
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\ngrid:\n  data.path: [data/v1, data_v1]\n"),
              HasSubstr("test.yaml:3: the variants data.path=data/v1 and data.path=data_v1 would share the "
                        "folder path-data_v1; give them names of their own in list"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist: [{name: a}, {name: a.log}]\n"),
              HasSubstr("a.log is called as a file of the variant a"));
}

TEST(SweepFile, BackendsRules) {
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml, backend: mpirun, calibration: measure}\n"),
              HasSubstr("sweep.calibration = measure: it measures this machine's threads"));
  EXPECT_THAT(ErrorOf("sweep:\n  run: tiny.yaml\n  backend: submit\n  arguments: '--queue debug'\n"),
              HasSubstr("test.yaml:4: sweep.arguments"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml, backend: submit}\n"), HasSubstr("wants a time limit"));
  EXPECT_TRUE(Load("sweep: {run: tiny.yaml, backend: submit, arguments: '--time=10'}\n").ok());
  EXPECT_TRUE(Load("sweep: {run: tiny.yaml, calibration: measure}\n").ok());
}

// Cut anywhere, a file is an error or a smaller sweep that can still be read; never a crash.
TEST(SweepFile, CutShortIsAnErrorWithALine) {
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml, ranks: [1, 2\n"), HasSubstr("test.yaml:"));
  EXPECT_THAT(ErrorOf("sweep: {run: tiny.yaml}\nlist:\n"), HasSubstr("list: must be a list of variants"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("a sweep's file is a map"));
  const std::string run = "sweep:\n  run: tiny.yaml\n", ranks = "  ranks: [1, 2]\n",
                    list = "list:\n  - {name: a, parallel.zero: 1}\n", rest = "  - {name: b}\n";
  const std::string whole = run + ranks + list + rest;
  // What is whole, by its length without blanks at the end.
  const std::map<size_t, std::vector<std::string>> parts = {
      {run.size() - 1, {"as-written"}},
      {(run + ranks).size() - 1, {"as-written-r1", "as-written-r2"}},
      {(run + ranks + list).size() - 1, {"a-r1", "a-r2"}},
      {whole.size() - 1, {"a-r1", "a-r2", "b-r1", "b-r2"}}};
  for (size_t length = 0; length <= whole.size(); ++length) {
    const std::string text = whole.substr(0, length);
    const auto part = parts.find(text.find_last_not_of(" \n") + 1);
    if (part == parts.end()) {
      EXPECT_THAT(ErrorOf(text), HasSubstr("test.yaml")) << length;
      continue;
    }
    const auto file = Load(text);
    ASSERT_TRUE(file.ok()) << text << file.status();
    EXPECT_EQ(Names(CasesOf(*file)), part->second) << text;
  }
}

}  // namespace
}  // namespace orthant::testing
