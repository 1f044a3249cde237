// Scales, escapes and pictures: what they show is what they were given.
#include <cmath>
#include <regex>
#include <set>

#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "orthant/report/bars.h"
#include "orthant/report/line_plot.h"
#include "orthant/report/markup.h"
#include "orthant/report/scale.h"
#include "orthant/report/scatter.h"
#include "orthant/report/span_chart.h"
#include "orthant/report/svg.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Escape, NothingOfARunBecomesMarkup) {
  EXPECT_EQ(Escape("<script>alert(\"1\" & '2')</script>"),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
  EXPECT_EQ(Escape("a\nb\tc"), "a\nb\tc");
  EXPECT_EQ(Escape(std::string("a\0b\x1b", 4)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(Escape("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
}

TEST(Escape, WhatIsNoUtf8IsReplaced) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(Escape("\xC3"), bad);
  EXPECT_EQ(Escape("\xC0\xAF"), bad + bad) << "an overlong form";
  EXPECT_EQ(Escape("\xED\xA0\x80"), bad + bad + bad) << "a surrogate";
  EXPECT_EQ(Escape("\xF5\x80\x80\x80x"), bad + bad + bad + bad + "x");
}

TEST(ScriptJson, CannotEndTheScriptElement) {
  const std::string text = ScriptJson({{"name", "</script><b>"}, {"x", NAN}});
  EXPECT_THAT(text, Not(HasSubstr("<")));
  const auto back = nlohmann::json::parse(text);
  EXPECT_EQ(back["name"], "</script><b>");
  EXPECT_TRUE(back["x"].is_null());
}

TEST(Slug, IsFitForIdsAndFiles) {
  EXPECT_EQ(Slug("Runs/My run (2)"), "runs-my-run-2");
  EXPECT_EQ(Slug("../.."), "run");
}

TEST(Show, AsPeopleReadNumbers) {
  EXPECT_EQ(Show(2.663412, Quantity::kNumber), "2.66");
  EXPECT_EQ(Show(0, Quantity::kNumber), "0");
  EXPECT_EQ(Show(0.0006, Quantity::kNumber), "0.0006");
  EXPECT_EQ(Show(1e-05, Quantity::kNumber), "1e-05");
  EXPECT_EQ(Show(1500, Quantity::kCount), "1.5k");
  EXPECT_EQ(Show(805760, Quantity::kCount), "806k");
  EXPECT_EQ(Show(3.7 * 1048576, Quantity::kBytes), "3.7 MiB");
  EXPECT_EQ(Show(0.458, Quantity::kShare), "45.8%");
  EXPECT_EQ(Show(0.285, Quantity::kSeconds), "285 ms");
  EXPECT_EQ(Show(NAN, Quantity::kBytes), "-");
}

TEST(RoundTicks, AreRoundWithinAndNotTooMany) {
  EXPECT_THAT(RoundTicks(0, 10, 6), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(RoundTicks(1, 60, 6), ElementsAre(10, 20, 30, 40, 50, 60));
  EXPECT_THAT(RoundTicks(0, 4 * 1048576.0, 5, Quantity::kBytes),
              ElementsAre(0, 1048576, 2097152, 3145728, 4194304));
  EXPECT_THAT(RoundTicks(3, 3, 5), IsEmpty());
  EXPECT_THAT(RoundTicks(0, INFINITY, 5), IsEmpty());
  for (const double high : {1e-9, 0.37, 1.0, 7.3, 99.0, 1e12}) {
    const std::vector<double> ticks = RoundTicks(-high / 3, high, 6);
    EXPECT_LE(ticks.size(), 6u) << high;
    EXPECT_GE(ticks.size(), 2u) << high;
    for (const double tick : ticks) EXPECT_TRUE(tick >= -high / 3 * 1.001 && tick <= high * 1.001) << tick;
  }
}

TEST(LogTicks, PowersOrOneTwoFive) {
  EXPECT_THAT(LogTicks(1e-4, 1, 6), ElementsAre(::testing::DoubleEq(1e-4), ::testing::DoubleEq(1e-3),
                                                ::testing::DoubleEq(1e-2), ::testing::DoubleEq(1e-1), 1));
  EXPECT_THAT(LogTicks(1, 12, 6), ElementsAre(1, 2, 5, 10));
  EXPECT_GE(LogTicks(2.4, 4.3, 6).size(), 2u) << "within one power";
  EXPECT_THAT(LogTicks(0, 1, 6), IsEmpty());
}

TEST(RangeOf, LeavesOutWhatIsNotFinite) {
  const std::vector<double> values = {NAN, 2, 4, INFINITY, -1};
  const Range all = RangeOf({&values}, false, false);
  EXPECT_DOUBLE_EQ(all.low, -1.25);
  EXPECT_DOUBLE_EQ(all.high, 4.25);
  EXPECT_GT(RangeOf({&values}, false, true).low, 0);
  const std::vector<double> flat = {3, 3}, none = {NAN};
  EXPECT_LT(RangeOf({&flat}, false, false).low, RangeOf({&flat}, false, false).high);
  EXPECT_LT(RangeOf({&none}, true, false).low, RangeOf({&none}, true, false).high);
}

TEST(PointsToDraw, KeepsEndsAndPeaks) {
  std::vector<double> x, y;
  for (int i = 0; i < 10000; ++i) {
    x.push_back(i);
    y.push_back(i == 5123 ? 99.0 : i == 777 ? -50.0 : std::sin(i * 0.01));
  }
  const std::vector<size_t> points = PointsToDraw(x, y, 300);
  EXPECT_LT(points.size(), 1300u);
  EXPECT_EQ(points.front(), 0u);
  EXPECT_EQ(points.back(), 9999u);
  EXPECT_THAT(points, ::testing::Contains(5123u));
  EXPECT_THAT(points, ::testing::Contains(777u));
  EXPECT_TRUE(std::is_sorted(points.begin(), points.end()));
  EXPECT_EQ(PointsToDraw({1, 2, 3}, {1, NAN, 3}, 300).size(), 3u);
  EXPECT_THAT(PointsToDraw({}, {}, 300), IsEmpty());
}

LinePlot TwoCurves() {
  return {"Loss", "step",
          "nats", Quantity::kNumber,
          false,  {{"a <b>", {1, 2, 3}, {4, NAN, 2}, 0}, {"c", {1, 3}, {3, 1}, 1}}};
}

TEST(LinePlot, BreaksTheLineWhereAValueIsMissing) {
  const std::string svg = DrawInline(TwoCurves());
  std::smatch path;
  ASSERT_TRUE(std::regex_search(svg, path, std::regex("class=\"line s0\" d=\"([^\"]*)\"")));
  EXPECT_EQ(std::count(path[1].first, path[1].second, 'M'), 2) << path[1];
  EXPECT_THAT(svg, HasSubstr("<g class=\"log\">"));
  EXPECT_THAT(svg, Not(HasSubstr("<b>")));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(LinePlot, FirstAndLastPointStandAtTheEdges) {
  const LinePlot plot{"t", "step", "", Quantity::kNumber, true, {{"a", {0, 10}, {0, 10}, 0}}};
  const PlotArea area = AreaOf(plot, /*file=*/false);
  const std::string svg = DrawInline(plot);
  EXPECT_THAT(svg, HasSubstr("M" + SvgNumber(area.left) + " " + SvgNumber(area.bottom) + "L" +
                             SvgNumber(area.right)));
  EXPECT_THAT(svg, Not(HasSubstr("class=\"log\""))) << "a value of 0 has no place on that scale";
}

TEST(LinePlot, FewValuesOfXAreTheTicksWhereThereIsRoom) {
  const std::vector<double> ranks = {1, 2, 4, 8, 16};
  LinePlot plot{"t", "ranks", "", Quantity::kNumber, true, {{"a", ranks, {0.1, 0.2, 0.3, 0.4, 0.5}, 0}}};
  const auto label = [&](const std::string& text) {
    return DrawFile(plot).find(">" + text + "</text>") != std::string::npos;
  };
  for (const char* tick : {"1", "4", "8", "16"}) EXPECT_TRUE(label(tick)) << tick;
  EXPECT_FALSE(label("2.5"));
  plot.series[0].x = {1, 64, 128, 2048, 4096};
  EXPECT_TRUE(label("4.1k")) << DrawFile(plot);
  EXPECT_TRUE(label("128"));
  EXPECT_FALSE(label("64")) << "128's place";
}

TEST(LinePlot, InWordsSaysWhatThereIsToSee) {
  EXPECT_EQ(InWords(TwoCurves()),
            "a <b>: from 4 at step 1 to 2 at step 3; lowest 2 at step 3, highest 4 at step 1. "
            "c: from 3 at step 1 to 1 at step 3; lowest 1 at step 3, highest 3 at step 1.");
}

TEST(LinePlot, AFileHasItsOwnStyleTitleAndLegend) {
  const std::string svg = DrawFile(TwoCurves());
  for (const char* wanted :
       {"xmlns=\"http://www.w3.org/2000/svg\"", "<style>", ">Loss</text>", ">a &lt;b&gt;</text>", "--c0"})
    EXPECT_THAT(svg, HasSubstr(wanted));
}

TEST(Looks, SixteenAndTheIdealDiffer) {
  std::set<std::string> lines, dots;
  for (int look = 0; look <= kIdeal; ++look) {
    lines.insert(LineClass(look));
    dots.insert(DotClass(look));
  }
  EXPECT_EQ(lines.size(), 17u);
  EXPECT_EQ(dots.size(), 17u);
}

TEST(Svg, AClassIsNoMarkup) {
  Svg svg(1, 1, "");
  svg.Rect(0, 0, 1, 1, "a\"><b>");
  EXPECT_THAT(svg.Inline(), Not(HasSubstr("<b>")));
}

TEST(BarChart, PartsAddUpToTheBar) {
  const BarChart chart{
      "Memory", Quantity::kBytes, {"p", "a"}, {{"rank 0", {100, 300}}, {"rank 1", {100, 0}}}};
  const std::string svg = DrawInline(chart);
  std::vector<double> widths;
  const std::regex bar("class=\"bar f[01]\"[^>]* width=\"([0-9.]+)\"");
  for (std::sregex_iterator at(svg.begin(), svg.end(), bar), end; at != end; ++at)
    widths.push_back(std::stod((*at)[1]));
  ASSERT_EQ(widths.size(), 3u) << "nothing is drawn for 0";
  EXPECT_NEAR(widths[1], 3 * widths[0], 0.1);
  EXPECT_NEAR(widths[2], widths[0], 0.1);
  EXPECT_THAT(svg, HasSubstr("rank 0, a: 300 B"));
}

TEST(Scatter, TheFrontIsWhatNothingBeats) {
  ScatterPlot plot;
  plot.title = "t";
  plot.points = {{1, 9, "a"}, {2, 5, "b"}, {3, 6, "c"}, {4, 4, "d"}, {2, 5, "e"}, {NAN, 0, "f"}, {5, 4, "g"}};
  EXPECT_THAT(ParetoFront(plot), ElementsAre(0u, 1u, 3u));
  plot.less_y_is_better = false;
  EXPECT_THAT(ParetoFront(plot), ElementsAre(0u));
  plot.less_x_is_better = false;
  EXPECT_THAT(ParetoFront(plot), ElementsAre(0u, 2u, 6u));
  EXPECT_THAT(DrawInline(plot), HasSubstr("line front"));
  EXPECT_THAT(DrawFile(plot), HasSubstr(">t</text>"));
}

TEST(SpanChart, BoxesAreAsLongAsTheirTime) {
  const SpanChart chart{"Pipeline",
                        {"stage 0", "stage 1"},
                        {{0, 0, 1, "F0", "forward", "forward"}, {1, 1, 3, "B0", "", "backward"}},
                        4};
  const std::string svg = DrawInline(chart);
  std::smatch forward, backward;
  ASSERT_TRUE(std::regex_search(svg, forward, std::regex("span forward\"[^>]* width=\"([0-9.]+)\"")));
  ASSERT_TRUE(std::regex_search(svg, backward, std::regex("span backward\"[^>]* width=\"([0-9.]+)\"")));
  EXPECT_NEAR(std::stod(backward[1]), 2 * std::stod(forward[1]), 0.1);
  EXPECT_THAT(svg, HasSubstr(">F0</text>"));
}

}  // namespace
}  // namespace orthant
