// orthant config: the generated reference, and a run's configuration as it resolves.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/auto_layout.h"
#include "cli/commands.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/config/config.h"
#include "orthant/launch/cluster_config.h"
#include "orthant/train/run_config.h"

namespace orthant {
namespace {

struct ShowOptions {
  RunFileOptions run;
  std::string format = "text";
};

absl::Status PrintReference(bool clusters) {
  if (clusters) {
    std::cout << ClusterReference();
    return absl::OkStatus();
  }
  RunConfig config;
  PlanKeys plan;
  std::cout << ConfigReference([&](Fields& fields) { DescribeRunFile(fields, config, plan); });
  return absl::OkStatus();
}

absl::Status Show(const ShowOptions& options) {
  RunConfig config;
  PlanKeys plan;
  const auto loaded = LoadRunFile(options.run, &config, &plan);
  if (!loaded.ok()) return loaded.status();
  std::cout << (options.format == "json" ? loaded->ToJson().dump(2) + "\n" : loaded->Dump());
  return absl::OkStatus();
}

}  // namespace

void AddConfig(CLI::App& app, CommandAction* action) {
  CLI::App* config =
      app.add_subcommand("config", "Explain configurations: every key, or one run's resolved values");
  config->require_subcommand(1);

  auto clusters = std::make_shared<bool>(false);
  CLI::App* reference = config->add_subcommand("reference", "Print docs/configuration.md: every key");
  reference->add_flag("--clusters", *clusters,
                      "Print docs/clusters.md: every key of configs/clusters/NAME.yaml");
  reference->footer(
      "Examples:\n  orthant config reference > docs/configuration.md\n  orthant config reference --clusters "
      "> "
      "docs/clusters.md");
  reference->callback([action, clusters] { *action = [clusters] { return PrintReference(*clusters); }; });

  auto options = std::make_shared<ShowOptions>();
  CLI::App* show =
      config->add_subcommand("show", "Print a run's complete configuration and where each value came from");
  AddRunFile(*show, &options->run);
  AddFormat(*show, &options->format);
  show->footer("Example: orthant config show configs/shakespeare.yaml parallel.tensor=2");
  show->callback([action, options] { *action = [options] { return Show(*options); }; });
}

}  // namespace orthant
