// orthant train RUN.yaml [KEY=VALUE ...]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/auto_layout.h"
#include "cli/run_file.h"
#include "orthant/cli/command.h"
#include "orthant/train/trainer.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant train configs/shakespeare.yaml
  orthant train configs/shakespeare.yaml parallel.sequence=1 parallel.tensor=4 run.dir=runs/tp4
  mpirun -n 16 orthant train configs/shakespeare.yaml
  mpirun -n 64 orthant train my_run.yaml parallel=auto --cluster polaris     the planner chooses the layout
  orthant train configs/shakespeare.yaml --format json     the summary as JSON on stdout, the rest on stderr

Without an MPI launcher the mesh's ranks are threads of this process; under one, each process is a rank.)";

struct Options {
  RunFileOptions run;
  std::string cluster;
  std::string format = "text";
};

absl::Status Train(const Options& options) {
  RunConfig config;
  PlanKeys plan;
  absl::StatusOr<LoadedConfig> loaded = LoadRunFile(options.run, &config, &plan);
  // Before the error is looked at: it is one error of all processes, not one of each.
  const absl::StatusOr<std::unique_ptr<Launcher>> launcher =
      Launcher::Start(std::max(config.comm.timeout, config.comm.start_timeout));
  if (!launcher.ok()) return launcher.status();
  if (absl::Status agreed = (*launcher)->Agree(loaded.status()); !agreed.ok()) return agreed;
  const bool json = options.format == "json";
  const absl::Status resolved = ResolveLayout(**launcher, plan, options.cluster, json, &config, &*loaded);
  if (!resolved.ok()) return resolved;
  return TrainRun(**launcher, config, *loaded, json);
}

}  // namespace

void AddTrain(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train the model that a YAML file describes");
  AddRunFile(*command, &options->run);
  AddPlanCluster(*command, &options->cluster);
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Train(*options); }; });
}

}  // namespace orthant
