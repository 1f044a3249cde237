// The page: its numbers are the run's, nothing of a run becomes markup, and it stands alone.
#include "orthant/report/page.h"

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
  const std::string page = ReportPage({Read("evil")});
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("&lt;img src=x"));
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

TEST_F(PageTest, WithoutATraceThePredictionTakesRankZerosTimes) {
  WholeRun("plain");
  const std::optional<PipelineView> view = ViewPipeline(Read("plain"));
  ASSERT_TRUE(view.has_value());
  EXPECT_FALSE(view->measured.has_value());
  ASSERT_TRUE(view->predicted.has_value());
  EXPECT_NEAR(view->predicted->makespan, 5 * (0.04 + 0.05) / 4, 1e-9);
  EXPECT_THAT(view->source, HasSubstr("metrics.jsonl"));
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
