#include "orthant/core/subprocess.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

TEST(Subprocess, CapturesBothStreamsAndTheExitCode) {
  const auto result = RunProgram({"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "out\nerr\n");
}

TEST(Subprocess, ArgumentsAreNotExpanded) {
  const auto result = RunProgram({"echo", "$HOME *", "a b"});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output, "$HOME * a b\n");
}

TEST(Subprocess, KeepsTheTail) {
  const auto result = RunProgram({"sh", "-c", "yes 123456789 | head -c 1000000; echo end"},
                                 {.folder = "", .capture = true, .tail_bytes = 100});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output.size(), 100u);
  EXPECT_THAT(result->output, ::testing::EndsWith("end\n"));
}

TEST(Subprocess, RunsInAFolderWithEmptyInput) {
  const std::string folder = std::filesystem::canonical(::testing::TempDir()).string();
  const auto result =
      RunProgram({"sh", "-c", "cat; pwd"}, {.folder = folder, .capture = true, .tail_bytes = 1000});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output, folder + "\n");
}

TEST(Subprocess, SignalsAreExitCodesAbove128) {
  const auto result = RunProgram({"sh", "-c", "kill -9 $$"});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 137);
}

TEST(Subprocess, WhatTakesTooLongIsKilled) {
  const auto result = RunProgram({"sh", "-c", "echo begun; exec sleep 600"},
                                 {.folder = "", .capture = true, .tail_bytes = 1000, .seconds = 0.3});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->too_long);
  EXPECT_EQ(result->exit_code, 137);
  EXPECT_EQ(result->output, "begun\n");
  const auto quick =
      RunProgram({"echo", "a"}, {.folder = "", .capture = true, .tail_bytes = 10, .seconds = 60});
  ASSERT_TRUE(quick.ok()) << quick.status();
  EXPECT_FALSE(quick->too_long);
  EXPECT_EQ(quick->output, "a\n");
}

TEST(Subprocess, MissingProgramsAndFoldersAreEnvironmentErrors) {
  const auto missing = RunProgram({"no-such-program-here"});
  EXPECT_EQ(ExitCodeOf(missing.status()), ExitCode::kEnvironment);
  EXPECT_EQ(missing.status().message(), "no-such-program-here: cannot be started: No such file or directory");
  EXPECT_EQ(
      RunProgram({"true"}, {.folder = "/no/such", .capture = true, .tail_bytes = 100}).status().message(),
      "true: cannot be started in /no/such: No such file or directory");
  EXPECT_FALSE(RunProgram({}).ok());
}

}  // namespace
}  // namespace orthant::testing
