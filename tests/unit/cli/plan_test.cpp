// orthant plan --collectives: the report, the mesh that --ranks asks for, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/commands.h"
#include "nlohmann/json.hpp"

namespace orthant {
namespace {

using ::testing::HasSubstr;

class PlanCommand : public ::testing::Test {
 protected:
  PlanCommand() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = (std::filesystem::temp_directory_path() / (std::string("orthant-plan-") + test->name() + ".yaml"))
                .string();
    std::ofstream(path_) << "model: {layers: 4, heads: 4, hidden: 16, context: 16, vocab: 29}\n"
                            "parallel: {data: 2, tensor: 2, pipeline: 2}\n"
                            "train: {global_batch: 32, micro_batch: 2}\n";
  }
  ~PlanCommand() override { std::filesystem::remove(path_); }

  // -> the exit code; `out` and `err` are what was printed.
  int Run(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv = {"orthant", "plan"};
    for (const std::string& argument : arguments)
      argv.push_back(argument == "RUN" ? path_.c_str() : argument.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(argv.size()), argv.data(), {AddPlan});
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  std::string path_, out_, err_;
};

TEST_F(PlanCommand, ReportsAndProves) {
  EXPECT_EQ(Run({"--collectives", "RUN"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("8 ranks: data=2 tensor=2 pipeline=2 sequence=1"));
  EXPECT_THAT(out_, HasSubstr("embedding_pair"));
  EXPECT_THAT(out_, HasSubstr("proved"));
}

TEST_F(PlanCommand, ThousandsOfRanksAsJson) {
  ASSERT_EQ(Run({"--collectives", "RUN", "train.global_batch=4096", "--ranks", "4096", "--format", "json"}),
            0)
      << err_;
  const nlohmann::json json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["ranks"], 4096);
  EXPECT_EQ(json["parallel"]["data"], 1024);
  EXPECT_EQ(json["ok"], true);
  EXPECT_EQ(json["passes"][0]["pass"], "step");
  int64_t total = 0;
  for (const auto& row : json["passes"][0]["groups"]) total += row["operations"].get<int64_t>();
  EXPECT_EQ(json["passes"][0]["operations"], total);
}

TEST_F(PlanCommand, OneRankHasNothingToSay) {
  EXPECT_EQ(Run({"--collectives", "RUN", "parallel.tensor=1", "parallel.pipeline=1", "--ranks", "1"}), 0)
      << err_;
  EXPECT_THAT(out_, HasSubstr("0 operations a rank"));
}

TEST_F(PlanCommand, RefusesRanksThatDoNotFit) {
  EXPECT_EQ(Run({"--collectives", "RUN", "--ranks", "10"}), 2);
  EXPECT_THAT(err_,
              HasSubstr("must be a multiple of parallel.tensor x parallel.pipeline x parallel.sequence = 4; "
                        "nearest legal: 8 or 12"));
  EXPECT_EQ(Run({"--collectives", "RUN", "--ranks", "24"}), 2);
  EXPECT_THAT(
      err_,
      HasSubstr("train.global_batch = 32 must stay a multiple of parallel.data x train.micro_batch = 12; "
                "nearest legal: train.global_batch=24 or 36, or --ranks 16 or 32"));
}

TEST_F(PlanCommand, NeedsItsFlagAndALegalRun) {
  EXPECT_EQ(Run({"RUN"}), 2);
  EXPECT_THAT(err_, HasSubstr("give --cluster NAME to choose a layout, or --collectives"));
  EXPECT_EQ(Run({"--collectives", "RUN", "model.heads=3"}), 2);
  EXPECT_THAT(err_, HasSubstr("model.heads"));
  EXPECT_EQ(Run({"--collectives", "RUN", "model.vocab=0"}), 2);
  EXPECT_THAT(err_, HasSubstr("set model.vocab to plan without data"));
}

}  // namespace
}  // namespace orthant
