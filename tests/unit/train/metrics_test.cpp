#include "orthant/train/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "unit/data/folder.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

StepMetrics Sample() {
  StepMetrics m;
  m.step = 340;
  m.loss = 1.3512345678901234;
  m.grad_norm = 0.1 + 0.2;  // 0.30000000000000004
  m.lr = 6e-4;
  m.tokens = 1393000000001;
  m.dt = 0.285;
  m.dtf = 1.0 / 3.0;
  m.dtb = 5e-324;  // the least double there is
  m.dto = 0.002;
  m.sps = 56.25;
  m.sps_per_rank = 3.515625;
  m.tps = 14372.5;
  m.tps_per_rank = 898.28125;
  m.mfu = 0.458;
  m.tflops_per_rank = std::numeric_limits<double>::max();
  m.mem_peak_bytes = 123456789;
  m.mem_host_peak_bytes = 4096;
  m.memory = {1, 2, 3, 4, 5, 6, 7};
  m.comm_bytes = {1, 22, 333, 4444};
  return m;
}

TEST(ToJsonLine, HoldsEveryDocumentedKey) {
  const nlohmann::json line = nlohmann::json::parse(ToJsonLine(Sample()));
  std::vector<std::string> keys;
  for (const auto& [key, value] : line.items()) keys.push_back(key);
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre(
                        "step", "loss", "grad_norm", "lr", "tokens", "dt", "dtf", "dtb", "dto", "sps",
                        "sps_per_rank", "tps", "tps_per_rank", "mfu", "tflops_per_rank", "mem_peak_bytes",
                        "comm_bytes", "mem_host_peak_bytes", "mem_bytes"));
  EXPECT_EQ(line["comm_bytes"],
            (nlohmann::json{{"data", 1}, {"tensor", 22}, {"pipeline", 333}, {"sequence", 4444}}));
  EXPECT_EQ(line["mem_bytes"], (nlohmann::json{{"parameters", 1},
                                               {"gradients", 2},
                                               {"optimizer", 3},
                                               {"activations", 4},
                                               {"communication", 5},
                                               {"host", 7},
                                               {"temporary", 6}}));
  EXPECT_EQ(line["mem_host_peak_bytes"], 4096);
}

TEST(ToJsonLine, NumbersRoundTripToTheBit) {
  const StepMetrics m = Sample();
  const nlohmann::json line = nlohmann::json::parse(ToJsonLine(m));
  const auto same = [&](const char* key, double value) {
    EXPECT_EQ(std::bit_cast<uint64_t>(line[key].get<double>()), std::bit_cast<uint64_t>(value)) << key;
  };
  same("loss", m.loss);
  same("grad_norm", m.grad_norm);
  same("lr", m.lr);
  same("dt", m.dt);
  same("dtf", m.dtf);
  same("dtb", m.dtb);
  same("dto", m.dto);
  same("sps", m.sps);
  same("sps_per_rank", m.sps_per_rank);
  same("tps", m.tps);
  same("tps_per_rank", m.tps_per_rank);
  same("mfu", m.mfu);
  same("tflops_per_rank", m.tflops_per_rank);
  EXPECT_EQ(line["step"], 340);
  EXPECT_EQ(line["tokens"], 1393000000001);
  EXPECT_EQ(line["mem_peak_bytes"], 123456789);
}

TEST(ToJsonLine, EvaluationsStandWhereThereWasOne) {
  StepMetrics m = Sample();
  EXPECT_THAT(ToJsonLine(m), Not(HasSubstr("val_loss")));
  m.val_loss = 1.0 / 7.0;
  m.train_loss = 1.0 / 9.0;
  const nlohmann::json line = nlohmann::json::parse(ToJsonLine(m));
  EXPECT_EQ(line["val_loss"].get<double>(), 1.0 / 7.0);
  EXPECT_EQ(line["train_loss"].get<double>(), 1.0 / 9.0);
}

TEST(ToJsonLine, TheLossScaleStandsUnderFp16AndASkippedStepIsMarked) {
  StepMetrics m = Sample();
  EXPECT_THAT(ToJsonLine(m), Not(HasSubstr("loss_scale")));
  EXPECT_THAT(ToJsonLine(m), Not(HasSubstr("skipped")));
  m.loss_scale = 65536.0;
  EXPECT_THAT(ToJsonLine(m), Not(HasSubstr("skipped")));
  m.skipped = true;
  const nlohmann::json line = nlohmann::json::parse(ToJsonLine(m));
  EXPECT_EQ(line["loss_scale"].get<double>(), 65536.0);
  EXPECT_EQ(line["skipped"], true);
}

TEST(ToJsonLine, IsOneLine) {
  EXPECT_THAT(ToJsonLine(Sample()), Not(HasSubstr("\n")));
}

TEST(ToConsoleLine, ReadsAsDocumented) {
  StepMetrics m = Sample();
  m.grad_norm = 0.4217;
  m.dtf = 0.101;
  m.dtb = 0.18;
  EXPECT_EQ(
      ToConsoleLine(m),
      "step=340 loss=1.3512 grad_norm=0.422 lr=6.00e-04 dt=0.2850 dtf=0.1010 dtb=0.1800 dto=0.0020 sps=56.2 "
      "tps=14372 tps_per_rank=898 mfu=45.8% mem=117.7 MiB");
  m.train_loss = 1.25;
  m.val_loss = 1.5;
  EXPECT_THAT(ToConsoleLine(m), HasSubstr("mem=117.7 MiB train_loss=1.2500 val_loss=1.5000"));
  m.loss_scale = 65536.0;
  m.skipped = true;
  EXPECT_THAT(ToConsoleLine(m), HasSubstr("mem=117.7 MiB loss_scale=65536 skipped train_loss=1.2500"));
}

TEST(Legend, ExplainsEveryWordOfTheConsoleLine) {
  StepMetrics m = Sample();
  m.train_loss = m.val_loss = m.loss_scale = 1.0;
  const std::string legend = Legend(/*boxes=*/false);
  std::string line = ToConsoleLine(m);
  for (size_t at = line.find('='); at != std::string::npos; at = line.find('=', at + 1)) {
    const size_t begin = line.rfind(' ', at) + 1;
    EXPECT_THAT(legend, HasSubstr(line.substr(begin, at - begin)));
  }
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

TEST(LossPlot, NeedsTwoPoints) {
  EXPECT_EQ(LossPlot({}, 40, 8), "");
  EXPECT_EQ(LossPlot({{1, 2.0}}, 40, 8), "");
}

TEST(LossPlot, ShowsTheCurveFromCornerToCorner) {
  const std::vector<std::string> lines = Lines(LossPlot({{100, 4.0}, {200, 2.0}, {300, 1.0}}, 41, 7));
  ASSERT_EQ(lines.size(), 9u);  // 7 rows, the axis, the steps
  EXPECT_EQ(lines[0].substr(0, 11), "   4.000 |o");
  EXPECT_EQ(lines[6].substr(0, 10), "   1.000 |");
  EXPECT_EQ(lines[6].back(), 'o');
  EXPECT_EQ(lines[4][10 + 20], 'o') << "2.0 at step 200 is two thirds down, half way across";
  EXPECT_EQ(std::count(lines[0].begin(), lines[0].end(), 'o'), 1);
  EXPECT_EQ(lines[7], "    loss +" + std::string(41, '-'));
  EXPECT_THAT(lines[8], HasSubstr("step"));
  EXPECT_THAT(lines[8], HasSubstr("100"));
  EXPECT_EQ(lines[8].substr(lines[8].size() - 3), "300");
}

TEST(LossPlot, SurvivesFlatSteepAndInfiniteLosses) {
  EXPECT_EQ(Lines(LossPlot({{1, 2.0}, {2, 2.0}}, 20, 4)).size(), 6u);
  EXPECT_EQ(Lines(LossPlot({{1, 2.0}, {2, 1.0}}, 1, 1)).size(), 3u);
  EXPECT_EQ(Lines(LossPlot({{1, 1e300}, {2, -1e300}, {3, 0.0}}, 20, 4)).size(), 6u);
  const double infinite = std::numeric_limits<double>::infinity();
  const double no_number = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::string> lines =
      Lines(LossPlot({{1, 3.0}, {2, infinite}, {3, no_number}, {4, 1.0}}, 20, 4));
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[0].substr(0, 11), "   3.000 |o") << "what is not finite is left out";
  EXPECT_EQ(LossPlot({{1, infinite}, {2, 3.0}}, 20, 4), "");
}

TEST(ToText, SummaryNamesWhatWasSent) {
  RunSummary s;
  s.steps = 2000;
  s.parameters = 803904;
  s.final_loss = 1.25;
  s.val_loss = 1.5;
  s.comm_bytes_per_step = {0, 2000000, 0, 0};
  const std::string text = ToText(s, /*boxes=*/false);
  EXPECT_THAT(text, HasSubstr("803,904"));
  EXPECT_THAT(text, HasSubstr("1.5000"));
  EXPECT_THAT(text, HasSubstr("sent a step, tensor"));
  EXPECT_THAT(text, Not(HasSubstr("sent a step, data")));
}

TEST(MetricsFile, HoldsOneLineAStep) {
  const testing::Folder folder;
  auto file = MetricsFile::Open(folder / "metrics.jsonl", 0);
  ASSERT_TRUE(file.ok());
  StepMetrics m = Sample();
  EXPECT_TRUE(file->Append(m).ok());
  m.step = 341;
  EXPECT_TRUE(file->Append(m).ok());
  const std::vector<std::string> lines = Lines(folder.Read("metrics.jsonl"));  // while it is still open
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(nlohmann::json::parse(lines[1])["step"], 341);
}

TEST(MetricsFile, IsCutBackToAStep) {
  const testing::Folder folder;
  const std::string path =
      folder.Write("metrics.jsonl",
                   "{\"step\":1,\"loss\":3.0}\n{\"step\":2,\"loss\":2.5,\"val_loss\":2.75}\n"
                   "{\"step\":3,\"loss\":2.0}\n{\"step\":4,\"lo");
  const std::vector<MetricsLine> lines = ReadMetrics(path, 100);
  ASSERT_EQ(lines.size(), 3u) << "the last one was cut off";
  EXPECT_EQ(lines[1].val_loss, 2.75);
  auto file = MetricsFile::Open(path, 2);
  ASSERT_TRUE(file.ok());
  StepMetrics m = Sample();
  m.step = 3;
  EXPECT_TRUE(file->Append(m).ok());
  const std::vector<std::string> kept = Lines(folder.Read("metrics.jsonl"));
  ASSERT_EQ(kept.size(), 3u);
  EXPECT_EQ(kept[1], "{\"step\":2,\"loss\":2.5,\"val_loss\":2.75}") << "to the letter";
  EXPECT_EQ(nlohmann::json::parse(kept[2])["step"], 3);
}

TEST(MetricsFile, TellsWhyItCannotBeWritten) {
  const testing::Folder folder;
  const auto file = MetricsFile::Open(folder / "nowhere/metrics.jsonl", 0);
  EXPECT_EQ(ExitCodeOf(file.status()), ExitCode::kEnvironment);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("nowhere/metrics.jsonl cannot be written"));
}

TEST(MetricsFile, AFullDiskIsAnError) {
  auto file = MetricsFile::Open("/dev/full", 0);
  if (!file.ok()) GTEST_SKIP() << "no /dev/full here";
  EXPECT_EQ(ExitCodeOf(file->Append(Sample())), ExitCode::kEnvironment);
}

TEST(PeakResidentBytes, IsPlausible) {
  EXPECT_GT(PeakResidentBytes(), int64_t{1} << 20);
}

}  // namespace
}  // namespace orthant
