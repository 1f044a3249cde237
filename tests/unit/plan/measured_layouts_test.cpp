#include "orthant/plan/measured_layouts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace orthant {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

MeasuredLayout Layout(int64_t data, double predicted, double seconds, const std::string& error = "") {
  MeasuredLayout one;
  one.prediction.layout.data = data;
  one.prediction.time.step = predicted;
  one.seconds = seconds;
  one.error = error;
  return one;
}

TEST(MeasuredLayouts, TheQuickestIsNamedAndWhatDidNotRunDoesNotCount) {
  const std::vector<MeasuredLayout> all = {Layout(4, 1.0, 1.25), Layout(2, 1.1, 1.0),
                                           Layout(1, 1.2, 0, "out of memory")};
  EXPECT_EQ(QuickestOf(all)->prediction.layout.data, 2);
  EXPECT_NEAR(QualityOf(all).mean, 0.15, 1e-12);
  const std::string text = MeasuredText(all, TableStyle::kPlain);
  EXPECT_THAT(text, HasSubstr("-20.0%"));
  EXPECT_THAT(text, HasSubstr("+10.0%"));
  EXPECT_THAT(text, HasSubstr("out of memory"));
  EXPECT_THAT(text, HasSubstr("took 25.0 % longer than the one measured quickest: data 2 x"));
  const nlohmann::ordered_json json = MeasuredJson(all);
  EXPECT_EQ(json["layouts"].size(), 3u);
  EXPECT_EQ(json["layouts"][1]["measured_seconds"], 1.0);
  EXPECT_EQ(json["layouts"][2]["error"], "out of memory");
  EXPECT_NEAR(json["regret"].get<double>(), 0.25, 1e-12);
}

TEST(MeasuredLayouts, NoneThatRan) {
  const std::vector<MeasuredLayout> all = {Layout(1, 1, 0, "no")};
  EXPECT_EQ(QuickestOf(all), nullptr);
  EXPECT_THAT(MeasuredText(all, TableStyle::kPlain), HasSubstr("none of them ran"));
  EXPECT_THAT(MeasuredJson(all).dump(), Not(HasSubstr("quickest")));
}

}  // namespace
}  // namespace orthant
