// orthant submit RUN.yaml --nodes N --time TIME [KEY=VALUE ...]: writes a batch script and hands it to sbatch
// or qsub.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/auto_layout.h"
#include "cli/commands.h"
#include "cli/launch_options.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/subprocess.h"
#include "orthant/launch/batch_script.h"
#include "orthant/launch/queue.h"
#include "orthant/launch/rank_layout.h"
#include "orthant/train/validate.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant submit configs/shakespeare.yaml --cluster slurm --nodes 2 --time 1:00:00
  orthant submit configs/shakespeare.yaml --cluster polaris --nodes 4 --time 30 --account MY_PROJECT --queue debug-scaling
  orthant submit my_run.yaml --cluster slurm --nodes 2 --time 8:00:00 --resubmit train.steps=100000
  orthant submit my_run.yaml --nodes 2 --time 10 --dry-run            prints the script and submits nothing

The script is launch/slurm.sbatch or launch/pbs.sh, filled in; copy it, change it and give --template. It runs
`orthant launch -- train RUN.yaml`. Two minutes before the time limit (--warn) the run is told to save; it ends with exit
code 7, and the same submit goes on from there (--resubmit: by itself). See docs/cluster.md.)";

struct Options {
  RunFileOptions run;
  std::string cluster, scheduler = "auto", time, account, queue, name, file, job_template, launch_arguments;
  std::vector<std::string> directives;
  int nodes = 0, ranks_per_host = 0, spare_hosts = 0, restarts = 0, warn = 120;
  bool no_requeue = false, resubmit = false, dry_run = false;
  std::string format = "text";
};

// slurm or pbs.
absl::StatusOr<std::string> SchedulerOf(const Options& options, const ClusterConfig& cluster,
                                        const Surroundings& surroundings) {
  const std::string wanted = options.scheduler != "auto" ? options.scheduler : cluster.scheduler;
  if (wanted == "slurm" || wanted == "pbs") return wanted;
  if (wanted == "none") {
    return ConfigurationError(absl::StrCat(
        "cluster ", cluster.name, " has no scheduler: orthant launch -- train RUN.yaml starts the run"));
  }
  if (surroundings.has_program("sbatch")) return "slurm";
  if (surroundings.has_program("qsub")) return "pbs";
  return EnvironmentError(
      "neither sbatch nor qsub is on PATH: there is no scheduler here to submit to; give --scheduler slurm "
      "or pbs with "
      "--dry-run for the script alone, or start the run with orthant launch");
}

// The job's name: letters, digits and a few marks of the run's name, as PBS wants them.
std::string JobName(const Options& options, const RunConfig& config) {
  std::string name = options.name.empty() ? config.run.name : options.name;
  for (char& c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && !absl::StrContains("-_.+", std::string(1, c)))
      c = '_';
  }
  return name.empty() ? "orthant" : name;
}

// `orthant launch ... -- train RUN.yaml ...`
std::vector<std::string> Work(const Options& options, const std::string& self,
                              const std::vector<std::string>& launch_words) {
  std::vector<std::string> words = {self, "launch"};
  const auto add = [&words](const char* option, const std::string& value) {
    words.insert(words.end(), {option, value});
  };
  // The job may not have the environment of this shell.
  if (const std::string cluster = ClusterNamed(options.cluster).name; !cluster.empty()) {
    const bool path = absl::StrContains(cluster, '/') || absl::EndsWith(cluster, ".yaml");
    add("--cluster", path ? std::filesystem::absolute(cluster).string() : cluster);
  }
  if (options.ranks_per_host > 0) add("--ranks-per-host", absl::StrCat(options.ranks_per_host));
  if (options.spare_hosts > 0) add("--spare-hosts", absl::StrCat(options.spare_hosts));
  if (options.restarts > 0) add("--restarts", absl::StrCat(options.restarts));
  words.insert(words.end(), launch_words.begin(), launch_words.end());
  words.insert(words.end(), {"--", "train", options.run.path});
  words.insert(words.end(), options.run.overrides.begin(), options.run.overrides.end());
  return words;
}

// How many ranks stand on each of the nodes.
absl::StatusOr<RankLayout> RanksOnNodes(const Options& options, const ClusterConfig& cluster,
                                        const RunConfig& config, const PlanKeys& plan,
                                        const LoadedConfig& loaded) {
  RankNeeds needs;
  needs.ranks = plan.automatic() ? plan.ranks : config.parallel.degrees().world();
  needs.ranks_per_host = options.ranks_per_host;
  needs.spare_hosts = options.spare_hosts;
  needs.capacity = UsesDevices("auto", &config) ? cluster.node.gpus : 0;
  needs.capacity_source = absl::StrCat("node.gpus of ", cluster.name);
  if (plan.automatic() && needs.ranks == 0 && needs.ranks_per_host == 0 && needs.capacity == 0) {
    return ConfigurationError(
        absl::StrCat(loaded.Cite("parallel.layout"),
                     ": on how many ranks is not said: give --ranks-per-host N, or set plan.ranks=N"));
  }
  absl::StatusOr<RankLayout> layout = LayOutRanks(needs, options.nodes);
  if (!layout.ok()) return Annotate(layout.status(), absl::StrCat("--nodes ", options.nodes));
  return layout;
}

// A layout that is auto is chosen here too, so that a job that could not begin is not queued; the job chooses
// again, on the ranks that it has.
absl::Status TryLayout(const Options& options, const RankLayout& layout, const RunConfig& config,
                       const PlanKeys& plan, const LoadedConfig& loaded,
                       const std::vector<std::string>& launch_words) {
  if (!plan.automatic()) return absl::OkStatus();
  if (std::find(launch_words.begin(), launch_words.end(), "--elastic") != launch_words.end()) {
    return CheckElastic(plan, loaded, "--elastic of --launch-args");
  }
  const absl::StatusOr<LayoutChoice> choice =
      ChooseLayout(config, loaded, plan, options.cluster, {layout.ranks(), "ranks: "});
  if (choice.ok()) std::fputs(choice->report.c_str(), stderr);
  return choice.status();
}

absl::StatusOr<BatchJob> MakeJob(const Options& options, const ClusterConfig& cluster,
                                 const std::string& scheduler, const std::string& self) {
  RunConfig config;
  PlanKeys plan;
  const absl::StatusOr<LoadedConfig> loaded = LoadRunFile(options.run, &config, &plan);
  if (!loaded.ok()) return loaded.status();
  if (!plan.automatic()) {
    const absl::Status valid =
        ValidateRun(config, [&](const std::string& key) { return loaded->OriginOf(key); });
    if (!valid.ok()) return valid;
  }
  const absl::StatusOr<int64_t> seconds = ParseWallTime(options.time);
  if (!seconds.ok()) return Annotate(seconds.status(), "--time");
  const absl::StatusOr<RankLayout> layout = RanksOnNodes(options, cluster, config, plan, *loaded);
  if (!layout.ok()) return layout.status();
  const absl::StatusOr<std::vector<std::string>> launch_words = SplitWords(options.launch_arguments);
  if (!launch_words.ok()) return Annotate(launch_words.status(), "--launch-args");
  const absl::Status tried = TryLayout(options, *layout, config, plan, *loaded, *launch_words);
  if (!tried.ok()) return tried;

  BatchJob job;
  job.scheduler = scheduler;
  job.name = JobName(options, config);
  job.folder = std::filesystem::current_path().string();
  job.script =
      std::filesystem::absolute(options.file.empty() ? job.name + (scheduler == "slurm" ? ".sbatch" : ".pbs")
                                                     : options.file)
          .lexically_normal()
          .string();
  job.output = scheduler == "slurm" ? job.name + "-%j.out" : "";
  job.queue = options.queue;
  job.account = options.account;
  job.nodes = options.nodes;
  job.ranks_per_host = layout->ranks_per_host;
  job.seconds = *seconds;
  job.warn_seconds = options.warn;
  job.requeue = !options.no_requeue;
  job.resubmit = options.resubmit;
  job.options = options.directives;
  job.command = Work(options, self, *launch_words);
  if (const absl::Status checked = CheckJob(job, cluster); !checked.ok()) return checked;
  return job;
}

absl::StatusOr<std::string> ScriptOf(const Options& options, const BatchJob& job,
                                     const ClusterConfig& cluster, const std::string& self) {
  const std::string usual = job.scheduler == "slurm" ? "launch/slurm.sbatch" : "launch/pbs.sh";
  const std::string path = options.job_template.empty() ? FindShared(usual, self) : options.job_template;
  if (path.empty()) {
    return EnvironmentError(absl::StrCat(usual, " is not found beside this program; give --template FILE"));
  }
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok())
    return ConfigurationError(absl::StrCat("--template: ", std::string(text.status().message())));
  return FillTemplate(*text, TemplateValues(job, cluster), path);
}

// Hands the script over. -> the job's number
absl::StatusOr<std::string> HandOver(const BatchJob& job, const Surroundings& surroundings) {
  const std::string program = job.scheduler == "slurm" ? "sbatch" : "qsub";
  if (!surroundings.has_program(program)) {
    return EnvironmentError(absl::StrCat(program, " is not on PATH; ", job.script,
                                         " is written: submit it where there is one (--dry-run prints it)"));
  }
  const absl::StatusOr<SubprocessResult> result = RunProgram({program, job.script});
  if (!result.ok()) return result.status();
  const std::string printed(absl::StripAsciiWhitespace(result->output));
  if (result->exit_code != 0) {
    return EnvironmentError(
        absl::StrCat(program, " ", job.script, " ended with ", result->exit_code, ": ", printed));
  }
  return JobNumber(job.scheduler, printed);
}

absl::Status Submit(const Options& options) {
  const std::string self = OwnPath();
  const Surroundings surroundings = RealSurroundings();
  const absl::StatusOr<ClusterConfig> cluster = ClusterOf(options.cluster, self);
  if (!cluster.ok()) return cluster.status();
  const absl::StatusOr<std::string> scheduler = SchedulerOf(options, *cluster, surroundings);
  if (!scheduler.ok()) return scheduler.status();
  const absl::StatusOr<BatchJob> job = MakeJob(options, *cluster, *scheduler, self);
  if (!job.ok()) return job.status();
  const absl::StatusOr<std::string> script = ScriptOf(options, *job, *cluster, self);
  if (!script.ok()) return script.status();
  std::string number;
  if (!options.dry_run) {
    if (const absl::Status written = WriteFileAtomically(job->script, *script); !written.ok()) return written;
    const absl::StatusOr<std::string> handed = HandOver(*job, surroundings);
    if (!handed.ok()) return handed.status();
    number = *handed;
  }
  if (options.format == "json") {
    const nlohmann::ordered_json json = {{"scheduler", job->scheduler},
                                         {"submitted", !options.dry_run},
                                         {"job", number},
                                         {"script", job->script},
                                         {"nodes", job->nodes},
                                         {"ranks_per_host", job->ranks_per_host},
                                         {"command", job->command},
                                         {"text", *script}};
    std::fputs((json.dump(2) + "\n").c_str(), stdout);
  } else if (options.dry_run) {
    std::fputs(script->c_str(), stdout);
  } else {
    std::fputs(absl::StrCat("job ", number, ": ", job->script, "\n").c_str(), stdout);
  }
  return absl::OkStatus();
}

void AddJob(CLI::App& command, Options* options) {
  command.add_option("--nodes", options->nodes, "Hosts")->required()->check(CLI::Range(1, 1000000));
  command
      .add_option("--time", options->time,
                  "Time limit: MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES:SECONDS")
      ->required();
  command.add_option("--cluster", options->cluster,
                     "A file of configs/clusters, by name or path; without: ORTHANT_CLUSTER");
  command
      .add_option("--scheduler", options->scheduler,
                  "auto: of the cluster's file, or by which of sbatch and qsub is there")
      ->check(CLI::IsMember({"auto", "slurm", "pbs"}))
      ->capture_default_str();
  command
      .add_option("--ranks-per-host", options->ranks_per_host,
                  "Ranks on each host; without: one a device, or the ranks shared out evenly")
      ->check(CLI::Range(1, 100000));
  command
      .add_option("--spare-hosts", options->spare_hosts,
                  "Of the hosts, how many are kept to replace lost ones")
      ->check(CLI::Range(0, 100000));
  command.add_option("--account", options->account, "The project that is charged");
  command.add_option("--queue", options->queue, "Queue (PBS), partition (SLURM)");
  command
      .add_option("--directive", options->directives,
                  "A further line of the script's head, as --directive=--constraint=gpu; may be repeated")
      ->allow_extra_args(false);
}

}  // namespace

void AddSubmit(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("submit", "Write a batch script for a run and submit it (sbatch, qsub)");
  AddRunFile(*command, &options->run);
  AddJob(*command, options.get());
  command->add_option("--name", options->name, "The job's name; without: run.name");
  command->add_option("--script", options->file,
                      "Where the script is written; without: NAME.sbatch or NAME.pbs");
  command->add_option("--template", options->job_template,
                      "Another template than launch/slurm.sbatch or launch/pbs.sh");
  command
      ->add_option("--restarts", options->restarts, "Of orthant launch: how often it may start the run again")
      ->check(CLI::Range(0, 1000000));
  command->add_option("--launch-args", options->launch_arguments,
                      "Further options of orthant launch, as one text: '--elastic --idle-timeout 900'");
  command
      ->add_option("--warn", options->warn, "Seconds before the time limit at which the run is told to save")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  command->add_flag("--no-requeue", options->no_requeue,
                    "The scheduler must not queue the job again when a node fails");
  command->add_flag("--resubmit", options->resubmit,
                    "Near the time limit, queue the job again until the run is finished");
  command->add_flag("--dry-run", options->dry_run, "Print the script; write and submit nothing");
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Submit(*options); }; });
}

}  // namespace orthant
