#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/commands.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string err;
};

Outcome Launch(std::vector<const char*> words) {
  words.insert(words.begin(), {"orthant", "launch", "--backoff", "0.01"});
  ::testing::internal::CaptureStderr();
  const int code = RunCommandLine(static_cast<int>(words.size()), words.data());
  return {code, ::testing::internal::GetCapturedStderr()};
}

TEST(LaunchCommand, EndsAsTheCommandDoes) {
  for (const int code : {0, 2, 5, 7, 42}) {
    const std::string script = "exit " + std::to_string(code);
    EXPECT_EQ(Launch({"--", "sh", "-c", script.c_str()}).code, code);
  }
  EXPECT_EQ(Launch({"--", "sh", "-c", "kill -9 $$"}).code, 137);
}

TEST(LaunchCommand, TellsWhatItDoes) {
  const Outcome outcome = Launch({"--restarts", "1", "--", "sh", "-c", "exit 4"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("launch: runs sh -c 'exit 4'; restarts: 1\n"));
  EXPECT_THAT(outcome.err, HasSubstr(": exit code 4 (communication); restart 1 of 1 in 10 ms\n"));
  EXPECT_THAT(outcome.err, HasSubstr("; stopped: all of its restarts (1) are used\n"));
}

TEST(LaunchCommand, WordsBehindTheDashesAreTheCommands) {
  EXPECT_EQ(
      Launch({"--", "sh", "-c", "[ \"$1\" = --restarts ] && [ \"$2\" = train ]", "sh", "--restarts", "train"})
          .code,
      0);
}

TEST(LaunchCommand, MistakesAreToldBeforeAnythingRuns) {
  const Folder folder;
  const std::string file = folder.Write("run.yaml", "model: {hiden: 16}\n"), touch = folder / "ran";
  const Outcome key = Launch({"--restarts", "3", "--", "train", file.c_str()});
  EXPECT_EQ(key.code, 2);
  EXPECT_THAT(key.err, HasSubstr("unknown key 'model.hiden'"));
  const Outcome elastic = Launch({"--elastic", "--", "touch", touch.c_str()});
  EXPECT_EQ(elastic.code, 2);
  EXPECT_THAT(elastic.err, HasSubstr("--elastic changes parallel.data of a run"));
  const Outcome ranks = Launch({"--ranks", "2", "--", "touch", touch.c_str()});
  EXPECT_EQ(ranks.code, 2);
  EXPECT_THAT(ranks.err, HasSubstr("'touch' is none"));
  EXPECT_FALSE(folder.Has("ran"));
  EXPECT_EQ(Launch({}).code, 2);
}

TEST(LaunchCommand, AProgramThatIsNotThereIsTheEnvironments) {
  const Outcome outcome = Launch({"--restarts", "3", "--", "no-such-program-here"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err,
              HasSubstr("error: no-such-program-here: cannot be started: No such file or directory\n"));
}

}  // namespace
}  // namespace orthant::testing
