// The options of `orthant launch`, and the request that they and the command make.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/launch_command.h"
#include "orthant/launch/cluster_config.h"
#include "orthant/launch/launch_plan.h"

namespace CLI {
class App;
}

namespace orthant {

struct LaunchOptions {
  std::string program;              // the command's first word
  std::vector<std::string> extras;  // "--" and the others
  std::vector<std::string> command;
  int restarts = 0;
  double backoff = 1.0;
  bool elastic = false;
  double idle_seconds = 0.0;
  int ranks = 0, ranks_per_host = 0, spare_hosts = 0;
  std::string cluster, scheduler = "auto", host_file, launcher = "auto", launcher_arguments, device = "auto";
  bool no_bind = false, dry_run = false;
  std::string format = "text";
  std::vector<std::string> subcommands;  // of orthant
};

// The command's words and all options, on the subcommand.
void AddLaunchOptions(CLI::App& command, LaunchOptions* options);

// Whether the ranks compute on GPUs: what --device says, with auto what this build can and the run wants
// (`config` null: the command is not a run).
bool UsesDevices(const std::string& device, const RunConfig* config);

// This program's own path.
std::string OwnPath();

// "a 'b c' d\ e" -> a, "b c", "d e": words as a shell parts them, nothing expanded. ConfigurationError for a
// quote that does not end.
absl::StatusOr<std::vector<std::string>> SplitWords(const std::string& text);

// The name of a cluster and where it stood: "--cluster ", "run.yaml:3: plan.cluster = ".
struct ClusterName {
  std::string name, given;
};

// What --cluster says or, without it, ORTHANT_CLUSTER. The name is "" with neither.
ClusterName ClusterNamed(const std::string& option);

// The cluster's file of --cluster or, without it, ORTHANT_CLUSTER; defaults without either.
absl::StatusOr<ClusterConfig> ClusterOf(const std::string& option, const std::string& self);

// The request for a command that begins with a subcommand of orthant. `inner`: that command, with the
// program.
absl::StatusOr<LaunchRequest> RequestOf(const LaunchOptions& options, const std::vector<std::string>& inner,
                                        const std::optional<TrainCommand>& train);

}  // namespace orthant
