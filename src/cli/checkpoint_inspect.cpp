// orthant checkpoint inspect PATH
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/checkpoint.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/inspection.h"
#include "orthant/checkpoint/step_folders.h"

namespace orthant {
namespace {

struct Options {
  std::string path, format = "text";
  bool all = false;
};

absl::Status Inspect(const Options& options) {
  const absl::StatusOr<std::string> folder = ResolveCheckpoint(options.path);
  if (!folder.ok()) return folder.status();
  const absl::StatusOr<CheckpointInspection> inspection = InspectCheckpoint(*folder);
  if (!inspection.ok()) return inspection.status();
  if (options.format == "json") {
    PrintJson(inspection->ToJson());
  } else {
    std::cout << inspection->ToText(options.all);
  }
  return inspection->status();
}

}  // namespace

void AddCheckpointInspect(CLI::App& checkpoint, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      checkpoint.add_subcommand("inspect", "What a checkpoint holds, and which mesh and model wrote it");
  AddCheckpointPath(*command, "path", &options->path);
  command->add_flag("--all", options->all, "Each layer and file by itself, where many are alike");
  AddFormat(*command, &options->format);
  command->callback([options, action] { *action = [options] { return Inspect(*options); }; });
}

}  // namespace orthant
