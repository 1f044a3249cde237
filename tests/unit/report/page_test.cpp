// The page: its numbers are the run's, nothing of a run becomes markup, and it stands alone.
#include "orthant/report/page.h"

#include <algorithm>
#include <regex>
#include <set>

#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "orthant/report/charts.h"
#include "orthant/report/pipeline_view.h"
#include "unit/report/run_folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PageTest : public RunFolderFixture {
 protected:
  RunData Read(const std::string& name) {
    absl::StatusOr<RunData> run = ReadRun(root_ + "/" + name);
    EXPECT_TRUE(run.ok()) << run.status();
    return *std::move(run);
  }
  // Two steps of two stages of the run WholeRun; ranks 0 and 2 are the pipeline of rank 0.
  void WriteTrace(const std::string& name) {
    std::string events;
    for (const int rank : {0, 1, 2, 3}) {
      const int stage = rank / 2;
      for (int mb = 0; mb < 4; ++mb) {
        for (const bool forward : {true, false}) {
          const double begin = 1000 + 100 * mb + (forward ? 10 * stage : 500 + 20 * stage),
                       took = forward ? 10 : 20;
          events += "{\"ph\":\"X\",\"pid\":" + std::to_string(rank) +
                    ",\"tid\":0,\"ts\":" + std::to_string(begin) + ",\"dur\":" + std::to_string(took) +
                    ",\"cat\":\"compute\",\"name\":\"x\",\"args\":{\"step\":2,\"action\":\"" +
                    (forward ? "forward" : "backward") +
                    "\",\"chunk\":0,\"microbatch\":" + std::to_string(mb) + "}},\n";
        }
      }
      events += "{\"ph\":\"X\",\"pid\":" + std::to_string(rank) +
                ",\"tid\":1,\"ts\":1000,\"dur\":40,\"cat\":\"communication\",\"name\":\"y\",\"args\":{"
                "\"step\":2,\"axis\":\"tensor\","
                "\"sent\":64,\"exposed_us\":10,\"hidden_us\":30}},\n";
    }
    events.resize(events.size() - 2);
    Write(name + "/trace/step_00000002.json", "{\"traceEvents\":[" + events + "]}");
  }
};

TEST_F(PageTest, NumbersAreTheRuns) {
  WholeRun("one");
  const std::string page = ReportPage({Read("one")});
  const auto value = [&](const std::string& key) {
    std::smatch match;
    EXPECT_TRUE(
        std::regex_search(page, match, std::regex("data-key=\"" + key + "\" data-value=\"([^\"]*)\"")))
        << key;
    return match[1].str();
  };
  EXPECT_EQ(value("loss"), "3");
  EXPECT_EQ(value("val_loss"), "3.25");
  EXPECT_EQ(value("step"), "3");
  EXPECT_EQ(value("parameters"), "1,234");
  EXPECT_THAT(page, HasSubstr("<td class=\"number\">4.5</td>"));
  for (const char* wanted :
       {"id=\"curve-loss\"", "id=\"run0-mesh\"", "id=\"run0-pipeline\"", "run0-memory-by-rank",
        "run0-bytes-by-axis", "n2", "run.yaml:3", "0.1 TFLOP/s a rank, from &lt;log&gt;",
        "<li>a &amp; b</li>", "There is no checkpoint", "No failure is on record"})
    EXPECT_THAT(page, HasSubstr(wanted));
}

TEST_F(PageTest, NothingOfARunBecomesMarkup) {
  WholeRun("evil");
  const std::string attack = "</script><img src=x onerror=alert(1)>";
  Write("evil/config.yaml", "run: {name: \"" + attack + "\"}\nmodel: {hidden: \"" + attack + "\"}\n");
  Write("evil/samples.txt", "--- step 2\nprompt: " + attack + "\nresponse:\n" + attack + "\n");
  Write("evil/flight/verdict.json", "{\"text\":\"" + attack + "\"}");
  const std::string quoted = R"(\"><img src=x onerror=alert(1)>)";
  std::string events;
  for (const int rank : {0, 2}) {
    events += (rank == 0 ? "" : ",") + std::string(R"({"ph":"X","pid":)") + std::to_string(rank) +
              R"(,"ts":0,"dur":9,"cat":"compute","args":{"step":2,"action":")" + quoted +
              R"("}},{"pid":0,"cat":"communication","args":{"step":2,"axis":")" + quoted + R"("}})";
  }
  Write("evil/trace/step_2.json", "{\"traceEvents\":[" + events + "]}");
  const std::string page = ReportPage({Read("evil")});
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("&lt;img src=x"));
  EXPECT_THAT(page, HasSubstr("class=\"span other\"")) << "an action that no schedule has";
  EXPECT_THAT(page, Not(HasSubstr("http://"))) << "nothing is loaded from elsewhere";
  EXPECT_THAT(page, Not(HasSubstr("https://")));
}

TEST_F(PageTest, SeveralRunsWithWhatDiffers) {
  WholeRun("a");
  WholeRun("b");
  std::vector<RunData> runs = {Read("a"), Read("b")};
  for (ConfigValue& value : runs[1].config) {
    if (value.key == "model.hidden") value.value = "32";
  }
  const std::string page = ReportPage(runs);
  EXPECT_THAT(page, HasSubstr("different models"));
  EXPECT_THAT(
      page,
      HasSubstr(
          "<td class=\"value\">model.hidden</td><td class=\"value\">16</td><td class=\"value\">32</td>"));
  EXPECT_THAT(page, HasSubstr("run1-mesh"));
}

TEST_F(PageTest, ARunWithoutStepsOrConfiguration) {
  Write("bare/config.yaml", "run: {name: bare}\n");
  Write("lost/metrics.jsonl", Line(1, 4.0));
  EXPECT_THAT(ReportPage({Read("bare")}), HasSubstr("There is no step to show yet"));
  EXPECT_THAT(ReportPage({Read("lost")}), HasSubstr("config.yaml is missing"));
}

TEST_F(PageTest, IdsAreUnique) {
  WholeRun("a");
  WholeRun("b");
  const std::string page = ReportPage({Read("a"), Read("b")});
  std::set<std::string> ids;
  const std::regex id(" id=\"([^\"]*)\"");
  for (std::sregex_iterator at(page.begin(), page.end(), id), end; at != end; ++at)
    EXPECT_TRUE(ids.insert((*at)[1]).second) << (*at)[1];
  EXPECT_GT(ids.size(), 20u);
}

TEST_F(PageTest, TheScriptReadsWhatThePlotsHold) {
  WholeRun("one");
  const std::string page = ReportPage({Read("one")});
  const size_t begin = page.find("<script type=\"application/json\">") + 32;
  const auto data = nlohmann::json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  EXPECT_EQ(data["series"][0]["x"], nlohmann::json({1.0, 2.0, 3.0}));
  EXPECT_EQ(data["series"][0]["y"], nlohmann::json({4.5, 3.5, 3.0}));
  EXPECT_EQ(data["x"], "step");
}

// The data behind the plot `id`, as the script reads it.
nlohmann::json DataOf(const std::string& page, const std::string& id) {
  const std::string opening = "<script type=\"application/json\">";
  const size_t begin = page.find(opening, page.find("id=\"" + id + "\"")) + opening.size();
  return nlohmann::json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

TEST_F(PageTest, RunsOfUnequalLengthAreReadAtTheSameSteps) {
  WholeRun("long");
  WholeRun("short");
  std::string lines;
  for (int step = 1; step <= 10000; ++step) {
    lines += Line(step, 1.0);
    if (step == 8000) Write("short/metrics.jsonl", lines);
  }
  Write("long/metrics.jsonl", lines);
  const auto data = DataOf(ReportPage({Read("long"), Read("short")}), "curve-loss");
  const auto longer = data["series"][0]["x"].get<std::vector<double>>(),
             shorter = data["series"][1]["x"].get<std::vector<double>>();
  EXPECT_GT(shorter.size(), 1000u);
  EXPECT_LE(longer.size(), 1501u);
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longer.begin()));
}

TEST_F(PageTest, AValidationCurveIsTheEvaluatedSteps) {
  Write("odd/config.yaml", "run: {name: odd}\n");
  std::string lines;
  for (int step = 1; step <= 7; ++step) {
    const bool evaluated = step % 2 == 1;  // the last step is one more
    lines += Line(step, 4.0, !evaluated ? "" : step == 5 ? ",\"val_loss\":null" : ",\"val_loss\":3");
  }
  Write("odd/metrics.jsonl", lines);
  const RunData run = Read("odd");
  const LinePlot plot = CurveOf({run}, Curves()[1]);
  ASSERT_EQ(plot.series.size(), 1u);
  EXPECT_THAT(plot.series[0].x, ::testing::ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(plot.series[0].y, ::testing::ElementsAre(3, 3, ::testing::IsNan(), 3));
  ASSERT_EQ(run.incidents.size(), 1u);
  EXPECT_EQ(run.incidents[0].what, "validation loss not finite");
  EXPECT_EQ(run.incidents[0].step, 5);
  EXPECT_THAT(ReportPage({run}), HasSubstr("no finite number"));
}

TEST_F(PageTest, WhatAGpuHoldsHasNoCategories) {
  RunData run;
  run.starts.resize(1);
  for (const double bytes : {300.0, 500.0})
    run.starts[0].memory.push_back({bytes, 0, {{"parameters", 0}, {"activations", 0}, {"host", 7}}});
  const BarChart chart = MemoryByRank(run);
  EXPECT_THAT(chart.parts, ::testing::IsEmpty());
  ASSERT_EQ(chart.bars.size(), 2u);
  EXPECT_THAT(chart.bars[1].parts, ::testing::ElementsAre(500));
}

TEST_F(PageTest, KeyboardReachesTablesAndTogglesNeedTheScript) {
  WholeRun("a");
  WholeRun("b");
  std::vector<RunData> runs = {Read("a"), Read("b")};
  runs[1].config[1].value = "32";
  const std::string page = ReportPage(runs);
  for (const char* name : {"Differences", "Configuration", "Starts"})
    EXPECT_THAT(page, HasSubstr("tabindex=\"0\" role=\"group\" aria-label=\"" + std::string(name) + "\""));
  EXPECT_THAT(page, HasSubstr("class=\"toggle needs-script\""));
  EXPECT_THAT(page, HasSubstr("<ul class=\"legend instead-of-toggles\"><li>"));
}

TEST_F(PageTest, PipelineFromATraceBesideItsPrediction) {
  WholeRun("traced");
  WriteTrace("traced");
  const RunData run = Read("traced");
  const std::optional<PipelineView> view = ViewPipeline(run);
  ASSERT_TRUE(view.has_value());
  EXPECT_THAT(view->ranks, ::testing::ElementsAre(0, 2));
  ASSERT_TRUE(view->measured.has_value());
  EXPECT_EQ(view->step, 2);
  EXPECT_EQ(view->measured->spans.size(), 16u);
  EXPECT_NEAR(view->measured->makespan, 840e-6, 1e-9);
  EXPECT_NEAR(view->forward[0], 10e-6, 1e-9);
  EXPECT_NEAR(view->backward[1], 20e-6, 1e-9);
  ASSERT_TRUE(view->predicted.has_value());
  // 1F1B of 4 microbatches on 2 stages: (4 + 1) times forward and backward.
  EXPECT_NEAR(view->predicted->makespan, 150e-6, 1e-9);
  EXPECT_NEAR(view->predicted->busy[0], 0.8, 1e-9);
  const BarChart time = TimeByAxis(run);
  ASSERT_EQ(time.bars.size(), 1u);
  EXPECT_NEAR(time.bars[0].parts[0], 10e-6, 1e-12);
  EXPECT_NEAR(time.bars[0].parts[1], 30e-6, 1e-12);
  EXPECT_THAT(ReportPage({run}), HasSubstr("Pipeline, measured in step 2"));
}

TEST_F(PageTest, ASplitBackwardIsItsTwoParts) {
  WholeRun("split");
  RunData run = Read("split");
  for (const int rank : {0, 2}) {
    for (int mb = 0; mb < 4; ++mb) {
      run.trace.actions.push_back({rank, mb, 2, "forward", 0, 1});
      run.trace.actions.push_back({rank, mb, 2, "backward input", 1, 3});
      run.trace.actions.push_back({rank, mb, 2, "backward weight", 3, 4});
    }
  }
  const std::optional<PipelineView> view = ViewPipeline(run);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->backward[0], 3);
  EXPECT_EQ(view->backward_input[1], 2);
  EXPECT_EQ(view->backward_weight[1], 1);
  ASSERT_TRUE(view->predicted.has_value());
  EXPECT_NEAR(view->predicted->makespan, 5 * 4, 1e-9) << "1f1b: a backward is both parts";
}

TEST_F(PageTest, WithoutATraceThePredictionTakesRankZerosTimes) {
  WholeRun("plain");
  const std::optional<PipelineView> view = ViewPipeline(Read("plain"));
  ASSERT_TRUE(view.has_value());
  EXPECT_FALSE(view->measured.has_value());
  ASSERT_TRUE(view->predicted.has_value());
  EXPECT_NEAR(view->predicted->makespan, 5 * (0.04 + 0.05) / 4, 1e-9);
  EXPECT_THAT(view->source, HasSubstr("metrics.jsonl"));
}

TEST_F(PageTest, LabelsThatAreOneFileNameGetNumbers) {
  WholeRun("a b");
  WholeRun("a-b");
  std::set<std::string> names;
  for (const Picture& picture : Pictures({Read("a b"), Read("a-b")}))
    EXPECT_TRUE(names.insert(picture.name).second) << picture.name;
  EXPECT_EQ(names.count("a-b-memory-by-rank"), 1u);
  EXPECT_EQ(names.count("a-b-2-memory-by-rank"), 1u);
}

TEST_F(PageTest, PicturesHaveNamesOfTheirOwn) {
  WholeRun("a");
  WholeRun("b");
  WriteTrace("a");
  std::set<std::string> names;
  for (const Picture& picture : Pictures({Read("a"), Read("b")})) {
    EXPECT_TRUE(names.insert(picture.name).second) << picture.name;
    EXPECT_THAT(picture.svg, ::testing::StartsWith("<svg"));
  }
  for (const char* name : {"loss", "validation", "a-pipeline-measured", "a-pipeline-predicted",
                           "b-memory-by-rank", "a-time-by-axis"})
    EXPECT_EQ(names.count(name), 1u) << name;
  EXPECT_EQ(names.count("b-time-by-axis"), 0u);
}

}  // namespace
}  // namespace orthant::testing
