// What a run's folder says, and what becomes of folders that are cut short, damaged or none.
#include "orthant/report/run_data.h"

#include <cmath>
#include <filesystem>
#include <map>

#include "gmock/gmock.h"
#include "orthant/core/status.h"
#include "unit/report/run_folder.h"

namespace orthant::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ParseMetrics, ColumnsWithGapsAndNestedNames) {
  const MetricsTable table = ParseMetrics(
      "{\"step\":1,\"loss\":4.25,\"comm_bytes\":{\"data\":7}}\n{\"step\":2,\"loss\":null,\"val_loss\":3.5}\n",
      "m");
  EXPECT_THAT(table.steps, ElementsAre(1, 2));
  EXPECT_EQ(table.Column("loss")[0], 4.25);
  EXPECT_TRUE(std::isnan(table.Column("loss")[1])) << "a loss that was not finite is null in the file";
  EXPECT_TRUE(table.IsNull("loss", 1));
  EXPECT_FALSE(table.IsNull("loss", 0));
  EXPECT_FALSE(table.IsNull("val_loss", 0)) << "not there is not null";
  EXPECT_EQ(table.Column("comm_bytes.data")[0], 7);
  EXPECT_TRUE(std::isnan(table.Column("val_loss")[0]));
  EXPECT_EQ(table.Last("val_loss"), 3.5);
  EXPECT_EQ(table.Last("loss"), 4.25);
  EXPECT_THAT(table.Column("none"), IsEmpty());
  EXPECT_THAT(table.notes, IsEmpty());
}

TEST(ParseMetrics, DoublesRoundTrip) {
  const MetricsTable table = ParseMetrics("{\"step\":1,\"loss\":3.9276580197555386}\n", "m");
  EXPECT_EQ(table.Column("loss")[0], 3.9276580197555386);
}

TEST(ParseMetrics, ALastLineCutOffIsLeftOutWithANote) {
  const MetricsTable table = ParseMetrics("{\"step\":1,\"loss\":4}\n{\"step\":2,\"lo", "metrics.jsonl");
  EXPECT_THAT(table.steps, ElementsAre(1));
  EXPECT_THAT(table.notes, ElementsAre(HasSubstr("metrics.jsonl:2: the last line is cut off")));
}

TEST(ParseMetrics, DamagedAndRepeatedLinesAreCounted) {
  const MetricsTable table = ParseMetrics(
      "{\"step\":1,\"loss\":4}\nrubbish\n[1]\n{\"step\":2,\"loss\":3}\n{\"step\":2,\"loss\":9}\n{\"step\":3,"
      "\"loss\":2}\n",
      "m");
  EXPECT_THAT(table.steps, ElementsAre(1, 2, 3));
  EXPECT_EQ(table.Column("loss")[1], 3);
  EXPECT_THAT(table.notes, ElementsAre(HasSubstr("m:2: is no object with a step; 2 such lines are left out"),
                                       HasSubstr("m:5: goes back to an earlier step; 1 such line is")));
}

TEST(MetricsTable, TheMedianLeavesOutTheFirstStepsAndWhatIsNotThere) {
  const MetricsTable table = ParseMetrics(
      "{\"step\":1,\"dt\":9}\n{\"step\":2,\"dt\":1}\n{\"step\":3,\"dt\":2}\n{\"step\":4}\n", "m");
  EXPECT_EQ(table.Median("dt"), 1.5);
  EXPECT_EQ(table.Median("none"), std::nullopt);
}

TEST(ParseConfig, ValuesAndWhereTheyCameFrom) {
  std::vector<std::string> notes;
  const std::vector<ConfigValue> values = ParseConfig(
      "run:\n  name: \"a: # b\"       # run.yaml:7\nmodel:\n  hidden: 16   # command line\n"
      "zero:\n  offload:\n    path: \"\"  # default\n  list: [1, 2]  # computed\n",
      "config.yaml", &notes);
  ASSERT_EQ(values.size(), 4u);
  EXPECT_EQ(values[0].key, "run.name");
  EXPECT_EQ(values[0].value, "a: # b");
  EXPECT_EQ(values[0].origin, "run.yaml:7");
  EXPECT_EQ(values[1].origin, "command line");
  EXPECT_EQ(values[2].key, "zero.offload.path");
  EXPECT_EQ(values[2].value, "");
  EXPECT_EQ(values[3].value, "[1, 2]");
  EXPECT_THAT(notes, IsEmpty());
}

TEST(ParseConfig, WhatIsNoYamlBecomesANote) {
  std::vector<std::string> notes;
  EXPECT_THAT(ParseConfig("run: {name: [", "config.yaml", &notes), IsEmpty());
  EXPECT_THAT(notes, ElementsAre(HasSubstr("config.yaml:")));
  EXPECT_THAT(ParseConfig("- a\n", "config.yaml", &notes), IsEmpty());
  EXPECT_THAT(notes.back(), HasSubstr("no map of sections"));
}

TEST(ParseSamples, StepPromptAndResponse) {
  const std::vector<RunSample> samples = ParseSamples(
      "--- step 3\nprompt: the \nresponse:\nthe a\nb\n--- step 6\nprompt: \n\nresponse:\nresponse:\nc\n");
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].step, 3);
  EXPECT_EQ(samples[0].prompt, "the ");
  EXPECT_EQ(samples[0].response, "the a\nb");
  EXPECT_EQ(samples[1].prompt, "\n") << "a prompt that is a line break";
  EXPECT_EQ(samples[1].response, "response:\nc");
}

using ReadRunTest = RunFolderFixture;

TEST_F(ReadRunTest, AWholeRun) {
  const absl::StatusOr<RunData> run = ReadRun(WholeRun("whole"));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->label, "whole");
  EXPECT_THAT(run->metrics.steps, ElementsAre(1, 2, 3));
  EXPECT_EQ(run->Value("parallel.tensor"), "2");
  ASSERT_NE(run->LastStart(), nullptr);
  EXPECT_EQ(run->LastStart()->outcome, "done");
  EXPECT_EQ(run->LastStart()->memory[1].at_peak[1].second, 400);
  ASSERT_TRUE(run->TheMesh().has_value());
  EXPECT_EQ(run->TheMesh()->world(), 4);
  EXPECT_EQ(run->samples.size(), 1u);
  EXPECT_THAT(run->notes, IsEmpty());
}

TEST_F(ReadRunTest, ChecksWhatIsNoRun) {
  EXPECT_EQ(ExitCodeOf(ReadRun(root_ + "/none").status()), ExitCode::kData);
  const absl::Status file = ReadRun(Write("file", "x")).status();
  EXPECT_THAT(std::string(file.message()), HasSubstr("is a file"));
  const absl::Status empty = ReadRun(root_).status();
  EXPECT_EQ(ExitCodeOf(empty), ExitCode::kData);
  EXPECT_THAT(std::string(empty.message()), HasSubstr("neither config.yaml nor metrics.jsonl"));
}

TEST_F(ReadRunTest, MissingAndDamagedFilesAreNotes) {
  Write("cut/metrics.jsonl", Line(1, 4.0) + "{\"step\":2,");
  Write("cut/starts.json", "{\"starts\":");
  Write("cut/flight/verdict.json", "{");
  Write("cut/trace/step_1.json", "no trace");
  const absl::StatusOr<RunData> run = ReadRun(root_ + "/cut/");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->label, "cut");
  EXPECT_THAT(run->notes, Contains(HasSubstr("config.yaml is missing")));
  EXPECT_THAT(run->notes, Contains(HasSubstr("metrics.jsonl:2: the last line is cut off")));
  EXPECT_THAT(run->notes, Contains(HasSubstr("starts.json: is damaged")));
  EXPECT_THAT(run->notes, Contains(HasSubstr("verdict.json: is damaged")));
  EXPECT_THAT(run->notes, Contains(HasSubstr("is no Chrome trace")));
  EXPECT_FALSE(run->TheMesh().has_value());
}

TEST_F(ReadRunTest, CheckpointsVerdictSkippedBatchesAndLossesThatAreNotFinite) {
  const std::string folder = WholeRun("failed");
  Write("failed/metrics.jsonl", Line(1, 4.0) + "{\"step\":2,\"loss\":null}\n");
  Write("failed/checkpoints/step_00000002/manifest.json", "{}");
  Write("failed/checkpoints/step_00000001/part.bin", "12345");
  Write("failed/checkpoints/latest", "step_00000002\n");
  Write("failed/flight/verdict.json", R"({"step":2,"text":"rank 3 is dead"})");
  Write("failed/skipped.jsonl", R"({"step":1,"reason":"the loss jumped","rolled_back":false,"batches":1})");
  const absl::StatusOr<RunData> run = ReadRun(folder);
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_EQ(run->saved.size(), 2u);
  EXPECT_EQ(run->saved[0].bytes, 5);
  EXPECT_FALSE(run->saved[0].whole);
  EXPECT_TRUE(run->saved[1].whole);
  EXPECT_TRUE(run->saved[1].latest);
  ASSERT_EQ(run->incidents.size(), 3u);
  EXPECT_EQ(run->incidents[0].text, "rank 3 is dead");
  EXPECT_THAT(run->incidents[1].text, HasSubstr("the loss jumped"));
  EXPECT_EQ(run->incidents[2].step, 2);
}

TEST_F(ReadRunTest, FailedStartsAndThoseCutOff) {
  const std::string folder = WholeRun("restarted");
  Write("restarted/starts.json",
        R"({"starts":[{"time":"t1","host":"n1"},
             {"time":"t2","host":"n2","end":{"step":5,"outcome":"failed","exit_code":6,"message":"no number"}},
             {"time":"t3","host":"n3","end":{"step":7,"outcome":"stopped","exit_code":7}},
             {"time":"t4","host":"n4"}]})");
  Write("restarted/skipped.jsonl", R"({"step":1,"reason":2,"rolled_back":"x","batches":"y"})");
  const absl::StatusOr<RunData> run = ReadRun(folder);
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_EQ(run->incidents.size(), 3u) << "the last start may be under way";
  EXPECT_EQ(run->incidents[0].what, "cut off");
  EXPECT_EQ(run->incidents[0].text, "the start of t1 on n1 has no end on record");
  EXPECT_EQ(run->incidents[1].what, "failed start");
  EXPECT_EQ(run->incidents[1].step, 5);
  EXPECT_EQ(run->incidents[1].text, "the start of t2 on n2, exit code 6: no number");
  EXPECT_EQ(run->incidents[2].what, "skipped batch");
}

// A trace of one action of rank 0 in each of `steps`, which takes `microseconds`.
std::string Trace(const std::vector<int>& steps, int microseconds, const std::string& other) {
  std::string text = "{\"otherData\":{" + other + "},\"traceEvents\":[";
  for (const int step : steps)
    text += "{\"ph\":\"X\",\"pid\":0,\"ts\":0,\"dur\":" + std::to_string(microseconds) +
            ",\"cat\":\"compute\",\"args\":{\"action\":\"forward\",\"step\":" + std::to_string(step) + "}},";
  text.back() = ']';
  return text + "}";
}

TEST_F(ReadRunTest, TracesOfSeveralStarts) {
  const std::string folder = WholeRun("traced");
  const std::string mine = R"("mesh":{"data":1,"tensor":2,"pipeline":2,"sequence":1},"written":)";
  Write("traced/trace/step_5.json", Trace({5, 6}, 10, mine + "\"2026-01-02T00:00:00Z\""));
  Write("traced/trace/step_6.json", Trace({6}, 20, mine + "\"2026-01-03T00:00:00Z\""));
  Write("traced/trace/step_7.json", Trace({7}, 30, R"("mesh":{"data":4},"written":"2026-01-04T00:00:00Z")"));
  const absl::StatusOr<RunData> run = ReadRun(folder);
  ASSERT_TRUE(run.ok()) << run.status();
  std::map<int64_t, double> took;
  for (const TracedAction& action : run->trace.actions) took[action.step] += action.end - action.begin;
  EXPECT_EQ(run->trace.actions.size(), 2u);
  EXPECT_NEAR(took[5], 10e-6, 1e-12);
  EXPECT_NEAR(took[6], 20e-6, 1e-12) << "the file that was written last counts";
  EXPECT_THAT(run->notes, ElementsAre(HasSubstr("step_7.json: is of a start on another mesh (data=4")));
  EXPECT_THAT(ReadRun(folder, {.traces = false, .saved = true})->trace.actions, IsEmpty());
}

TEST_F(ReadRunTest, ATraceTooLargeToShowIsANote) {
  const std::string folder = WholeRun("large");
  Write("large/trace/step_1.json", Trace({1}, 10, ""));
  std::filesystem::resize_file(folder + "/trace/step_1.json", 65000000);
  EXPECT_THAT(ReadRun(folder)->notes, ElementsAre(HasSubstr("larger than 64 MB")));
}

TEST_F(ReadRunTest, DifferencesAndLabels) {
  WholeRun("a");
  WholeRun("b");
  std::vector<RunData> runs = {*ReadRun(root_ + "/a"), *ReadRun(root_ + "/b"), *ReadRun(root_ + "/b")};
  runs[1].label = "a";
  DistinguishLabels(&runs);
  EXPECT_EQ(runs[0].label, root_ + "/a");
  EXPECT_EQ(runs[1].label, root_ + "/b");
  EXPECT_EQ(runs[2].label, "b");
  EXPECT_THAT(CompareConfigs(runs), IsEmpty()) << "names and folders do not count";
  runs[1].config[1].value = "32";
  runs[2].config.clear();
  const std::vector<ConfigDifferenceRow> rows = CompareConfigs(runs);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].key, "model.hidden");
  EXPECT_THAT(rows[0].values, ElementsAre("16", "32", "-"));
}

}  // namespace
}  // namespace orthant::testing
