// orthant checkpoint verify PATH
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "absl/strings/match.h"
#include "cli/checkpoint.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/checkpoint/verification.h"
#include "orthant/core/file.h"

namespace orthant {
namespace {

struct Options {
  std::string path, format = "text";
};

// A step's folder that has lost its manifest is no checkpoint any more, but can be told about.
bool IsStepFolder(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return IsFolder(path) && absl::StartsWith(std::filesystem::path(path).filename().string(), "step_");
}

absl::Status VerifyPath(const Options& options) {
  absl::StatusOr<std::string> folder = ResolveCheckpoint(options.path);
  if (!folder.ok() && IsStepFolder(options.path)) folder = options.path;
  if (!folder.ok()) return folder.status();
  const Verification verification = VerifyCheckpoint(*folder, OnProgressBar("verify"));
  if (options.format == "json") {
    PrintJson(verification.ToJson());
  } else {
    std::cout << verification.ToText();
  }
  return verification.status();
}

}  // namespace

void AddCheckpointVerify(CLI::App& checkpoint, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = checkpoint.add_subcommand(
      "verify", "Check every byte; say what is hurt and whether another kept step is whole");
  AddCheckpointPath(*command, "path", &options->path);
  AddFormat(*command, &options->format);
  command->callback([options, action] { *action = [options] { return VerifyPath(*options); }; });
}

}  // namespace orthant
