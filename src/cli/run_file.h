// The arguments that several subcommands share: a run's YAML with overrides, and the output format.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/config/config.h"
#include "orthant/config/fields.h"
#include "orthant/train/run_config.h"

namespace CLI {
class App;
}

namespace orthant {

struct RunFileOptions {
  std::string path;
  std::vector<std::string> overrides;  // "key=value"
};

// RUN.yaml [KEY=VALUE ...]
void AddRunFile(CLI::App& command, RunFileOptions* options);
// --format text|json, or another name where --format means something else.
void AddFormat(CLI::App& command, std::string* format, const char* name = "--format");

// Loads the file into `config`.
absl::StatusOr<LoadedConfig> LoadRun(const RunFileOptions& options, RunConfig* config);

}  // namespace orthant
