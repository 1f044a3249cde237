#include "cli/run_file.h"

#include <CLI/CLI.hpp>

namespace orthant {

void AddRunFile(CLI::App& command, RunFileOptions* options) {
  command.add_option("run", options->path, "The run's YAML file")->required()->type_name("RUN.yaml");
  command.add_option("overrides", options->overrides, "Any key of the file, as parallel.tensor=2")
      ->type_name("KEY=VALUE");
}

void AddFormat(CLI::App& command, std::string* format, const char* name) {
  command.add_option(name, *format, "text, or json: one JSON object on stdout")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

absl::StatusOr<LoadedConfig> LoadRun(const RunFileOptions& options, RunConfig* config) {
  return LoadConfig(options.path, options.overrides, [config](Fields& fields) { Describe(fields, *config); });
}

}  // namespace orthant
