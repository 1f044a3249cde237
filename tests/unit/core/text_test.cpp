#include "orthant/core/text.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/terminal.h"

namespace orthant::testing {
namespace {

TEST(Text, EditDistanceCountsSwapsAsOne) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("tenser", "tensor"), 1u);
  EXPECT_EQ(EditDistance("hedas", "heads"), 1u);
  EXPECT_EQ(EditDistance("ca", "abc"), 3u);  // no part is edited twice
}

TEST(Text, ClosestMatchFindsWhatWasMeant) {
  const std::vector<std::string> words = {"train", "verify", "data", "config", "tensor_sequence"};
  EXPECT_EQ(ClosestMatch("trian", words), "train");
  EXPECT_EQ(ClosestMatch("verfy", words), "verify");
  EXPECT_EQ(ClosestMatch("conf", words), "config");
  EXPECT_EQ(ClosestMatch("tensor_seq", words), "tensor_sequence");
  EXPECT_EQ(ClosestMatch("launch", words), std::nullopt);
  EXPECT_EQ(ClosestMatch("x", words), std::nullopt);
  EXPECT_EQ(ClosestMatch("", words), std::nullopt);
  EXPECT_EQ(ClosestMatch("x", {}), std::nullopt);
}

TEST(Text, Counts) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1115394), "1,115,394");
  EXPECT_EQ(FormatCount(-1000), "-1,000");
  EXPECT_EQ(FormatCount(-100), "-100");
  EXPECT_EQ(FormatCount(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(Text, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.0 kB");
  EXPECT_EQ(FormatBytes(2.1e9), "2.1 GB");
  EXPECT_EQ(FormatBytes(999999), "1.0 MB");
}

TEST(Text, BinaryBytes) {
  EXPECT_EQ(FormatBinaryBytes(0), "0 B");
  EXPECT_EQ(FormatBinaryBytes(1023), "1023 B");
  EXPECT_EQ(FormatBinaryBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBinaryBytes(512 << 20), "512.0 MiB");
  EXPECT_EQ(FormatBinaryBytes(496.1 * 1048576), "496.1 MiB");
  EXPECT_EQ(FormatBinaryBytes(1048575), "1.0 MiB");
  EXPECT_EQ(FormatBinaryBytes(-2048), "-2.0 KiB");
}

TEST(Text, Durations) {
  EXPECT_EQ(FormatDuration(12e-6), "12 us");
  EXPECT_EQ(FormatDuration(0.34), "340 ms");
  EXPECT_EQ(FormatDuration(0.9999), "1.0 s");
  EXPECT_EQ(FormatDuration(1.34), "1.3 s");
  EXPECT_EQ(FormatDuration(59.97), "1 min 0 s");
  EXPECT_EQ(FormatDuration(125), "2 min 5 s");
  EXPECT_EQ(FormatDuration(11520), "3 h 12 min");
}

TEST(Text, ShortestDoublesReadBack) {
  EXPECT_EQ(FormatShortest(0.1), "0.1");
  EXPECT_EQ(FormatShortest(3), "3");
  EXPECT_EQ(std::stod(FormatShortest(0.1 + 0.2)), 0.1 + 0.2);
}

TEST(TableTest, AlignsColumns) {
  Table table({"mesh", "ranks", "worst"});
  table.AddRow({"data=2", "2", "1.0e-12"});
  table.AddRow({"tensor=16", "16", "3e-9"});
  table.AddRow({"short"});
  EXPECT_EQ(table.ToString(TableStyle::kPlain),
            "mesh       ranks    worst\n"
            "data=2         2  1.0e-12\n"
            "tensor=16     16     3e-9\n"
            "short\n");
}

TEST(TableTest, DrawsBoxesByCodePoints) {
  Table table({"name", "n"});
  table.AddRow({"é", "10"});
  EXPECT_EQ(table.ToString(TableStyle::kBoxes),
            "┌──────┬────┐\n"
            "│ name │  n │\n"
            "├──────┼────┤\n"
            "│ é    │ 10 │\n"
            "└──────┴────┘\n");
}

TEST(ProgressBarTest, LineTellsShareRateAndRest) {
  EXPECT_EQ(ProgressBar::Line("train", 50, 200, 10.0, 120),
            "train  25% [==========>                             ] 50/200  5/s  30.0 s left");
  EXPECT_EQ(ProgressBar::Line("train", 0, 200, 0.0, 50), "train   0% [>                             ] 0/200");
  EXPECT_EQ(ProgressBar::Line("t", 9, 4, 0.0, 20), "t 100% [======] 4/4");
  for (const int width : {30, 40, 60, 80, 200}) {
    EXPECT_LT(DisplayWidth(ProgressBar::Line("x", 3, 7, 1.0, width)), std::max(width, 36));
  }
}

TEST(ProgressBarTest, DrawsNothingWithoutATerminal) {
  ::testing::internal::CaptureStderr();
  {
    ProgressBar bar("train", 10);
    bar.Update(5);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace orthant::testing
