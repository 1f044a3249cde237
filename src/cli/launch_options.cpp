#include "cli/launch_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cli/auto_layout.h"
#include "orthant/core/status.h"
#include "orthant/device/device.h"

namespace orthant {
namespace {

// Subcommands that run on ranks; the others are one process, wherever they are started.
bool RunsOnRanks(const std::vector<std::string>& inner) {
  return inner.size() > 1 && (inner[1] == "train" || inner[1] == "doctor" || inner[1] == "bench");
}

// The product of the degrees in `--mesh data=2,tensor=4`; 0 without that option (or where bench will refuse
// it).
int64_t RanksOfMesh(const std::vector<std::string>& inner) {
  std::string mesh;
  for (size_t i = 1; i < inner.size(); ++i) {
    if (inner[i] == "--mesh" && i + 1 < inner.size()) mesh = inner[i + 1];
    if (absl::StartsWith(inner[i], "--mesh=")) mesh = inner[i].substr(7);
  }
  if (mesh.empty()) return 0;
  int64_t ranks = 1;
  for (const absl::string_view axis : absl::StrSplit(mesh, ',')) {
    int64_t degree = 0;
    if (!absl::SimpleAtoi(axis.substr(axis.find('=') + 1), &degree) || degree < 1 || degree > 1000000)
      return 0;
    ranks *= degree;
  }
  return ranks;
}

// `train` with `cluster`, unless it names one itself.
void HandOnCluster(const std::string& cluster, size_t word, std::vector<std::string>* command) {
  if (cluster.empty()) return;
  const auto behind = command->begin() + static_cast<std::ptrdiff_t>(word) + 1;
  const bool named = std::any_of(behind, command->end(), [](const std::string& one) {
    return one == "--cluster" || absl::StartsWith(one, "--cluster=");
  });
  if (!named) command->insert(behind, {"--cluster", cluster});
}

// How the ranks are placed and started.
void AddPlacing(CLI::App& command, LaunchOptions* options) {
  command.add_option("--ranks", options->ranks, "Ranks in all; without: as many as the run's mesh has")
      ->check(CLI::Range(1, 1000000));
  command
      .add_option(
          "--ranks-per-host", options->ranks_per_host,
          "Ranks on each host; without: one a device, or as many as the job asked for, or the ranks shared "
          "out evenly")
      ->check(CLI::Range(1, 100000));
  command.add_option("--spare-hosts", options->spare_hosts, "Hosts that are kept to replace lost ones")
      ->check(CLI::Range(0, 100000));
  command.add_option("--cluster", options->cluster,
                     "A file of configs/clusters, by name or path; without: ORTHANT_CLUSTER");
  command.add_option("--scheduler", options->scheduler, "Where the hosts come from")
      ->check(CLI::IsMember({"auto", "slurm", "pbs", "none"}))
      ->capture_default_str();
  command.add_option("--hostfile", options->host_file,
                     "Hosts, a line each, instead of the scheduler's; without: ORTHANT_HOSTFILE");
  command.add_option("--launcher", options->launcher, "What starts the ranks")
      ->check(CLI::IsMember({"auto", "srun", "openmpi", "pals", "mpich", "none"}))
      ->capture_default_str();
  command.add_option("--launcher-args", options->launcher_arguments,
                     "Further arguments of the launcher, as one text: '--mca btl tcp,self'");
  command
      .add_option(
          "--device", options->device,
          "Whether ranks are counted by GPUs and bound near them; auto: in a build for GPUs, unless the "
          "run's train.device is cpu")
      ->check(CLI::IsMember({"auto", "cpu", "gpu"}))
      ->capture_default_str();
  command.add_flag("--no-bind", options->no_bind, "Leave ranks free to move between cores");
  command.add_flag("--dry-run", options->dry_run, "Print what was found and the line, and run nothing");
}

}  // namespace

void AddLaunchOptions(CLI::App& command, LaunchOptions* options) {
  // Not as a list of words: CLI11 would take one like "[a,b]" apart. So all but the first are extras.
  command
      .add_option("command", options->program,
                  "Behind --: a subcommand of orthant, or any program, and its words")
      ->required()
      ->type_name("COMMAND...");
  command.allow_extras();
  command.add_option("--restarts", options->restarts, "How often it may be started again")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  command.add_option("--backoff", options->backoff, "Seconds before the first restart; doubles up to 60")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
  command.add_flag("--elastic", options->elastic,
                   "After a failure without progress, go on with a smaller parallel.data");
  command
      .add_option(
          "--idle-timeout", options->idle_seconds,
          "End an attempt (after a save, if it can) that for so many seconds prints nothing and makes no "
          "step; 0: never")
      ->check(CLI::Range(0.0, 1e7))
      ->capture_default_str();
  AddPlacing(command, options);
  AddFormat(command, &options->format);
}

bool UsesDevices(const std::string& device, const RunConfig* config) {
  if (device != "auto") return device == "gpu";
  return BuiltWithCuda() && (config == nullptr || config->train.device != "cpu");
}

std::string OwnPath() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "orthant" : path.string();
}

absl::StatusOr<std::vector<std::string>> SplitWords(const std::string& text) {
  std::vector<std::string> words;
  bool inside = false;  // a word, though it may be empty so far
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool blank = c == ' ' || c == '\t' || c == '\n';
    if (quote == 0 && blank) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      words.back() += text[++i];
    } else if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else {
      words.back() += c;
    }
  }
  if (quote != 0) return ConfigurationError(absl::StrCat("'", text, "': a quote does not end"));
  return words;
}

ClusterName ClusterNamed(const std::string& option) {
  if (!option.empty()) return {option, "--cluster "};
  const char* variable = std::getenv("ORTHANT_CLUSTER");
  return {variable != nullptr ? variable : "", "ORTHANT_CLUSTER = "};
}

absl::StatusOr<ClusterConfig> ClusterOf(const std::string& option, const std::string& self) {
  const ClusterName cluster = ClusterNamed(option);
  if (cluster.name.empty()) return ClusterConfig();
  const absl::StatusOr<std::string> path = FindCluster(cluster.name, self, cluster.given);
  return path.ok() ? LoadCluster(*path) : path.status();
}

absl::StatusOr<LaunchRequest> RequestOf(const LaunchOptions& options, const std::vector<std::string>& inner,
                                        const std::optional<TrainCommand>& train) {
  LaunchRequest request;
  request.allocation = {options.scheduler, options.host_file};
  request.launcher = options.launcher;
  request.command = inner;
  request.ranks = options.ranks;
  request.ranks_per_host = options.ranks_per_host;
  request.spare_hosts = options.spare_hosts;
  request.bind = !options.no_bind;
  request.use_devices = UsesDevices(options.device, nullptr);
  request.one_process = options.ranks == 0 && !RunsOnRanks(inner);
  absl::StatusOr<std::vector<std::string>> arguments = SplitWords(options.launcher_arguments);
  if (!arguments.ok()) return Annotate(arguments.status(), "--launcher-args");
  request.launcher_arguments = *std::move(arguments);
  if (train.has_value()) {
    RunConfig config;
    PlanKeys plan;
    if (const absl::Status loaded = LoadRunFile(train->run, &config, &plan).status(); !loaded.ok())
      return loaded;
    request.mesh_ranks = config.parallel.degrees().world();
    if (plan.automatic()) {
      // As many as there are to be, for which the run then plans.
      request.mesh_ranks = options.ranks > 0 ? options.ranks : plan.ranks;
      HandOnCluster(options.cluster, train->word, &request.command);
      // One process has to be told for how many threads it plans.
      if (config.comm.backend == "local" && options.ranks > 0)
        request.command.push_back(absl::StrCat("plan.ranks=", options.ranks));
    }
    request.use_devices = UsesDevices(options.device, &config);
    request.one_process = config.comm.backend == "local";
    // A rank on a GPU is a process; so is one of the backends mpi and nccl.
    request.processes = (config.comm.backend != "local" && config.comm.backend != "auto") ||
                        (config.train.device == "cuda" && request.mesh_ranks > 1);
  } else {
    request.mesh_ranks = RanksOfMesh(inner);
  }
  return request;
}

}  // namespace orthant
