// orthant checkpoint import DIR --format hf|safetensors --output STEP_DIR
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/checkpoint.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/safetensors_import.h"

namespace orthant {
namespace {

struct Options {
  std::string report = "text";
  ImportOptions options;
};

absl::Status Import(const Options& options) {
  ImportOptions importing = options.options;
  importing.progress = OnProgressBar("import");
  const absl::StatusOr<ImportReport> report = ImportCheckpoint(importing);
  importing.progress = nullptr;
  if (!report.ok()) return report.status();
  if (options.report == "json") {
    PrintJson(report->ToJson());
  } else {
    std::cout << report->ToText();
  }
  return absl::OkStatus();
}

}  // namespace

void AddCheckpointImport(CLI::App& checkpoint, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = checkpoint.add_subcommand(
      "import", "Make a checkpoint of Hugging Face's GPT-2 files, or of exported ones");
  command
      ->add_option("input", options->options.input,
                   "Folder with config.json and model.safetensors (or its shards and their index)")
      ->required()
      ->type_name("DIR");
  command->add_option("--format", options->options.format, "What the files are")
      ->check(CLI::IsMember({"hf", "safetensors"}))
      ->required();
  command->add_option("--output", options->options.output, "The checkpoint's folder; new or empty")
      ->required()
      ->type_name("STEP_DIR");
  AddFormat(*command, &options->report, "--report");
  command->callback([options, action] { *action = [options] { return Import(*options); }; });
}

}  // namespace orthant
