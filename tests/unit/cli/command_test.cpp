#include "orthant/cli/command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/comm/communicator.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string out, err;
};

Outcome Orthant(std::vector<const char*> words, const std::vector<AddCommand>& commands = Commands()) {
  words.insert(words.begin(), "orthant");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = RunCommandLine(static_cast<int>(words.size()), words.data(), commands);
  return {code, ::testing::internal::GetCapturedStdout(), ::testing::internal::GetCapturedStderr()};
}

// A subcommand that ends as its argument says.
void AddEnd(CLI::App& app, CommandAction* action) {
  auto how = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("end", "Ends");
  command->add_option("how", *how)->required();
  command->add_option("--format", "Format");
  command->callback([action, how] {
    *action = [how]() -> absl::Status {
      if (*how == "data") return DataError("tokens.bin: is empty");
      if (*how == "numerical") return NumericalError("loss is nan");
      if (*how == "comm") throw CommError("rank 3 is gone");
      if (*how == "bug") throw std::runtime_error("surprise");
      return absl::OkStatus();
    };
  });
}

TEST(CommandLine, StatusesBecomeExitCodesAndOneMessage) {
  EXPECT_EQ(Orthant({"end", "well"}, {AddEnd}).code, 0);
  const Outcome data = Orthant({"end", "data"}, {AddEnd});
  EXPECT_EQ(data.code, 5);
  EXPECT_EQ(data.err, "error: tokens.bin: is empty\n");
  EXPECT_EQ(data.out, "");
  EXPECT_EQ(Orthant({"end", "numerical"}, {AddEnd}).code, 6);
  EXPECT_EQ(Orthant({"end", "comm"}, {AddEnd}).code, 4);
  const Outcome bug = Orthant({"end", "bug"}, {AddEnd});
  EXPECT_EQ(bug.code, 1);
  EXPECT_THAT(bug.err, HasSubstr("surprise"));
}

TEST(CommandLine, UsageErrorsExitWith2) {
  EXPECT_EQ(Orthant({}).code, 2);
  EXPECT_EQ(Orthant({"end"}, {AddEnd}).code, 2);
  const Outcome option = Orthant({"end", "well", "--formt=json"}, {AddEnd});
  EXPECT_EQ(option.code, 2);
  EXPECT_THAT(option.err, HasSubstr("did you mean --format? (see orthant end --help)"));
}

TEST(CommandLine, UnknownSubcommandsAreGuessed) {
  const Outcome typo = Orthant({"confg"});
  EXPECT_EQ(typo.code, 2);
  EXPECT_EQ(typo.err, "error: unknown subcommand 'confg' of orthant; did you mean config?\n");
  const Outcome nested = Orthant({"config", "shwo"});
  EXPECT_EQ(nested.code, 2);
  EXPECT_EQ(nested.err, "error: unknown subcommand 'shwo' of orthant config; did you mean show?\n");
  EXPECT_THAT(Orthant({"qqqqqqqq"}).err, HasSubstr("(orthant --help)"));
}

TEST(CommandLine, HelpAndVersionExitWith0) {
  const Outcome help = Orthant({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("Examples:"));
  EXPECT_THAT(help.out, HasSubstr("config"));
  EXPECT_EQ(Orthant({"config", "show", "--help"}).code, 0);
  const Outcome version = Orthant({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, ::testing::StartsWith("orthant 0."));
}

TEST(ConfigCommand, ReferenceHasEverySection) {
  const Outcome reference = Orthant({"config", "reference"});
  EXPECT_EQ(reference.code, 0);
  for (const char* section :
       {"## `run`", "## `model`", "## `parallel`", "## `train`", "## `optimizer`", "## `data`"}) {
    EXPECT_THAT(reference.out, HasSubstr(section));
  }
}

TEST(ConfigCommand, ShowPrintsValuesWithOrigins) {
  const std::string path = ::testing::TempDir() + "orthant_show_test.yaml";
  std::ofstream(path) << "parallel: {tensor: 2}\n";
  const Outcome shown = Orthant({"config", "show", path.c_str(), "parallel.data=4"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, ::testing::ContainsRegex("  data: 4 +# command line\n"));
  EXPECT_THAT(shown.out, ::testing::ContainsRegex("  tensor: 2 +# .*orthant_show_test.yaml:1\n"));
  const Outcome json = Orthant({"config", "show", path.c_str(), "--format", "json"});
  EXPECT_THAT(json.out, HasSubstr("\"tensor\": 2"));
  const Outcome typo = Orthant({"config", "show", path.c_str(), "parallel.tenser=2"});
  EXPECT_EQ(typo.code, 2);
  EXPECT_EQ(typo.err, "error: command line: unknown key 'parallel.tenser'; did you mean parallel.tensor?\n");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace orthant::testing
