#include "cli/run_file.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "cli/auto_layout.h"
#include "orthant/core/status.h"

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
  PlanKeys plan;
  absl::StatusOr<LoadedConfig> loaded = LoadRunFile(options, config, &plan);
  if (!loaded.ok() || !plan.automatic()) return loaded;
  return ConfigurationError(absl::StrCat(
      loaded->Cite("parallel.layout"),
      ": `orthant train` and `orthant bench step` choose it when they start; here the layout must be "
      "written, as "
      "parallel=written parallel.data=2 (`orthant plan RUN.yaml --cluster NAME --ranks N --write FILE.yaml` "
      "writes one)"));
}

}  // namespace orthant
