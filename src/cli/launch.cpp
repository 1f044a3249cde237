// orthant launch [options] -- COMMAND...
#include "orthant/train/launch.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cli/auto_layout.h"
#include "cli/commands.h"
#include "cli/launch_command.h"
#include "cli/launch_facts.h"
#include "cli/launch_log.h"
#include "cli/launch_options.h"
#include "cli/launch_session.h"
#include "cli/run_progress.h"
#include "orthant/comm/mpi.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/launch/supervisor.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant launch -- train configs/shakespeare.yaml                     in a job: on its hosts; else ranks are threads
  orthant launch --dry-run -- train configs/shakespeare.yaml           what was found, and the line; runs nothing
  orthant launch --ranks 16 -- train configs/shakespeare.yaml          16 processes on this machine
  orthant launch --hostfile hosts --ranks-per-host 4 -- train configs/shakespeare.yaml
  orthant launch --cluster polaris --restarts 3 --spare-hosts 1 -- train configs/shakespeare.yaml
  orthant launch --launcher-args '--mca plm_rsh_agent my_ssh' --hostfile hosts -- doctor
  orthant launch --restarts 9 --elastic -- mpirun -n 16 orthant train configs/shakespeare.yaml

Behind -- stands a subcommand of orthant, whose launcher, hosts and binding are found, or any program, which is run as
it stands. After a failure that a new start can heal (exit codes 4 and 1, a signal) the command is run again, and a run
goes on from its last whole checkpoint. A failure that repeats at the same step ends it. SIGTERM, SIGINT and SIGUSR1
are passed on, and end it too. What happened stands on stderr and in RUN_DIR/launch.log. See docs/cluster.md and
docs/supervision.md.)";

bool Contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// What the launchers of ranks do on SIGTERM is too fast for a save: mpirun kills its ranks a second or two
// later, srun at once. SIGUSR1 they hand on.
int StopSignal(const std::vector<std::string>& command, const std::optional<TrainCommand>& train) {
  if (!train.has_value()) return 0;
  const auto end = command.begin() + static_cast<std::ptrdiff_t>(train->word);
  return std::any_of(command.begin(), end, IsRankLauncher) ? SIGUSR1 : 0;
}

std::vector<std::string> ShrinkAndTell(const std::vector<std::string>& command, const std::string& self,
                                       LaunchLog& log) {
  const std::optional<SmallerCommand> smaller = Shrink(command, self);
  if (!smaller.has_value()) return {};
  log.Add(absl::StrCat("fewer ranks: ", smaller->ranks, " instead of ", smaller->ranks_before,
                       " (parallel.data = ", smaller->data, " instead of ", smaller->data_before,
                       "); train.global_batch = ", smaller->global_batch, ", and so the curve, stays"));
  return smaller->command;
}

// Makes `command` of what was parsed.
absl::Status TakeCommand(LaunchOptions* options, const std::vector<std::string>& known) {
  const std::vector<std::string>& words = options->extras;
  if (words.empty() || words[0] != "--") {
    const std::string word = words.empty() ? options->program : words[0];
    const std::optional<std::string> meant = ClosestMatch(word.substr(0, word.find('=')), known);
    return ConfigurationError(
        absl::StrCat("'", word, "' was not expected",
                     meant.has_value() ? absl::StrCat("; did you mean ", *meant, "?") : "",
                     "; the command stands behind --, as in orthant launch --restarts 3 -- train RUN.yaml "
                     "(see orthant launch "
                     "--help)"));
  }
  options->command = {options->program};
  options->command.insert(options->command.end(), words.begin() + 1, words.end());
  return absl::OkStatus();
}

// Options that are about a launcher of our own choice, given with a program that is run as it stands.
absl::Status CheckForeign(const LaunchOptions& options) {
  const std::pair<const char*, bool> given[] = {
      {"--ranks", options.ranks > 0},
      {"--ranks-per-host", options.ranks_per_host > 0},
      {"--spare-hosts", options.spare_hosts > 0},
      {"--cluster", !options.cluster.empty()},
      {"--scheduler", options.scheduler != "auto"},
      {"--hostfile", !options.host_file.empty()},
      {"--launcher", options.launcher != "auto"},
      {"--launcher-args", !options.launcher_arguments.empty()},
      {"--device", options.device != "auto"},
      {"--no-bind", options.no_bind},
      {"--dry-run", options.dry_run},
  };
  for (const auto& [name, set] : given) {
    if (!set) continue;
    return ConfigurationError(absl::StrCat(name, " is for a subcommand of orthant, and '", options.command[0],
                                           "' is none; leave ", name, " out, or write train RUN.yaml"));
  }
  return absl::OkStatus();
}

absl::Status Refuse() {
  const absl::StatusOr<std::unique_ptr<Launcher>> launcher = Launcher::Start(CommConfig().timeout);
  if (!launcher.ok()) return launcher.status();
  return (*launcher)->Agree(EnvironmentError(  // said once, not by each process
      "orthant launch is one process that starts the others: put mpirun or srun behind its --, as in "
      "orthant launch --restarts 3 -- mpirun -n 16 orthant train RUN.yaml"));
}

// The bytes of metrics.jsonl: they grow with every step.
int64_t MetricsBytes(const std::string& run_dir) {
  std::error_code error;
  const auto size = std::filesystem::file_size(run_dir + "/metrics.jsonl", error);
  return error ? 0 : static_cast<int64_t>(size);
}

void PrintLine(int stream, absl::string_view line) {
  std::FILE* const file = stream == 1 ? stdout : stderr;
  const std::string text = absl::StrCat(line, "\n");
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

// Options that do not depend on what is run.
SupervisorOptions Supervised(const LaunchOptions& options) {
  SupervisorOptions supervisor;
  supervisor.restarts = options.restarts;
  supervisor.backoff_seconds = options.backoff;
  supervisor.idle_seconds = options.idle_seconds;
  if (options.idle_seconds > 0.0) supervisor.output = PrintLine;
  return supervisor;
}

absl::Status Run(const LaunchOptions& options, const std::string& self, SupervisorOptions supervisor,
                 const std::optional<TrainCommand>& train, LaunchSession* session, LaunchLog* log,
                 const std::string& run_dir) {
  RunWatch watch(run_dir);
  supervisor.stop_signal = StopSignal(supervisor.command, train);
  if (train.has_value()) {
    supervisor.progress = [&watch] { return watch.Read(); };
    supervisor.growth = [run_dir] { return MetricsBytes(run_dir); };
  }
  if (session != nullptr) {
    supervisor.replan = [session](const std::vector<std::string>&) { return session->NextWithoutLost(); };
  }
  if (options.elastic) {
    supervisor.shrink = [session, &self, log](const std::vector<std::string>& words) {
      return session != nullptr ? session->Fewer() : ShrinkAndTell(words, self, *log);
    };
  }
  supervisor.log = [log](const std::string& line) { log->Add(line); };
  log->Add(absl::StrCat("runs ", CommandText(supervisor.command), "; restarts: ", options.restarts));
  const absl::StatusOr<int> code = Supervise(supervisor);
  log->Write();
  if (!code.ok()) return code.status();
  return StatusWithExitCode(static_cast<ExitCode>(*code), "");  // the command has told its failure itself
}

// The folder of the run that is trained; "" for another command.
absl::StatusOr<std::string> RunFolderOf(const std::optional<TrainCommand>& train, bool elastic) {
  if (train.has_value()) {
    RunConfig config;
    PlanKeys plan;
    const absl::StatusOr<LoadedConfig> loaded = LoadRunFile(train->run, &config, &plan);
    if (!loaded.ok()) return loaded.status();
    if (elastic) {
      if (absl::Status able = CheckElastic(plan, *loaded, "--elastic"); !able.ok()) return able;
    }
    return config.RunDir();
  }
  if (!elastic) return "";
  return ConfigurationError(
      "--elastic changes parallel.data of a run, and the command has no 'orthant train RUN.yaml' in it; "
      "write it out, or leave --elastic out");
}

// A program that is run as it stands.
absl::Status RunForeign(const LaunchOptions& options, const std::string& self) {
  if (const absl::Status checked = CheckForeign(options); !checked.ok()) return checked;
  SupervisorOptions supervisor = Supervised(options);
  supervisor.command = options.command;
  const std::optional<TrainCommand> train = FindTrain(options.command, self);
  const absl::StatusOr<std::string> run_dir = RunFolderOf(train, options.elastic);
  if (!run_dir.ok()) return run_dir.status();
  LaunchLog log(*run_dir);
  return Run(options, self, std::move(supervisor), train, nullptr, &log, *run_dir);
}

void PrintPlan(const LaunchOptions& options, const LaunchPlan& plan, const ClusterConfig& cluster) {
  const std::string facts = FactsText(plan, cluster);
  if (!options.dry_run) {
    std::fputs(facts.c_str(), stderr);
  } else if (options.format == "json") {
    std::fputs((FactsJson(plan, cluster).dump(2) + "\n").c_str(), stdout);
  } else {
    std::fputs(absl::StrCat(facts, "runs            ", CommandText(plan.command), "\n").c_str(), stdout);
  }
}

// A subcommand of orthant: by this same binary, under the launcher that fits.
absl::Status RunOwn(const LaunchOptions& options, const std::string& self) {
  std::vector<std::string> inner = {self};
  inner.insert(inner.end(), options.command.begin(), options.command.end());
  const std::optional<TrainCommand> train = FindTrain(inner, self);
  const absl::StatusOr<std::string> run_dir = RunFolderOf(train, options.elastic);
  if (!run_dir.ok()) return run_dir.status();
  absl::StatusOr<ClusterConfig> cluster = ClusterOf(options.cluster, self);
  if (!cluster.ok()) return cluster.status();
  absl::StatusOr<LaunchRequest> request = RequestOf(options, inner, train);
  if (!request.ok()) return request.status();
  absl::StatusOr<LaunchPlan> plan = PlanLaunch(*request, *cluster, RealSurroundings());
  if (!plan.ok()) return plan.status();
  PrintPlan(options, *plan, *cluster);
  if (options.dry_run) return absl::OkStatus();

  SupervisorOptions supervisor = Supervised(options);
  supervisor.environment = plan->environment;
  LaunchLog log(*run_dir);
  const bool labelled = plan->starter != RankStarter::kNone;
  LaunchSession running(
      {*std::move(request), *std::move(cluster), *std::move(plan), self, *run_dir, options.elastic}, &log);
  if (labelled)
    supervisor.output = [&](int stream, absl::string_view line) { running.TakeLine(stream, line); };
  absl::StatusOr<std::vector<std::string>> command = running.Command();
  if (!command.ok()) return command.status();
  supervisor.command = *std::move(command);
  const std::optional<TrainCommand> composed = FindTrain(supervisor.command, self);
  return Run(options, self, std::move(supervisor), composed, &running, &log, *run_dir);
}

absl::Status Launch(LaunchOptions* options, const std::vector<std::string>& known) {
  if (const absl::Status taken = TakeCommand(options, known); !taken.ok()) return taken;
  if (options->format == "json" && !options->dry_run) {
    return ConfigurationError("--format json prints what would be run: it goes with --dry-run");
  }
  if (MpiRuntime::UnderLauncher()) return Refuse();
  const std::string self = OwnPath();
  return Contains(options->subcommands, options->command[0]) ? RunOwn(*options, self)
                                                             : RunForeign(*options, self);
}

}  // namespace

void AddLaunch(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<LaunchOptions>();
  CLI::App* command =
      app.add_subcommand("launch", "Run a command on a job's hosts, and again after a failure");
  AddLaunchOptions(*command, options.get());
  command->footer(kExamples);
  command->callback([options, action, command, &app] {
    for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; })) {
      options->subcommands.push_back(known->get_name());
    }
    std::vector<std::string> known;
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
    options->extras = command->remaining();
    *action = [options, known] { return Launch(options.get(), known); };
  });
}

}  // namespace orthant
