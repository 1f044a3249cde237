#include "cli/auto_layout.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/launch_options.h"
#include "cli/plan_request.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/plan/plan_report.h"
#include "orthant/train/broadcast_text.h"
#include "orthant/train/launch.h"
#include "orthant/train/memory_advice.h"

namespace orthant {
namespace {

constexpr int64_t kTried = 64;  // layouts of the planner's list that the trainer's rules are tried on

absl::StatusOr<ClusterName> NameCluster(const PlanKeys& plan, const LoadedConfig& loaded,
                                        const std::string& option) {
  if (ClusterName named = ClusterNamed(option); !named.name.empty()) return named;
  if (!plan.cluster.empty())
    return ClusterName{plan.cluster, absl::StrCat(loaded.OriginOf("plan.cluster"), ": plan.cluster = ")};
  return ConfigurationError(absl::StrCat(
      loaded.Cite("parallel.layout"),
      ": the machine is not named: give --cluster NAME, or set ORTHANT_CLUSTER or plan.cluster to a "
      "name in configs/clusters or to a file that `orthant bench calibrate` wrote"));
}

// Layouts are the trainer's to run, so the program that the constants are of must be it.
absl::Status CheckSoftware(const Machine& machine, const ClusterName& cluster) {
  if (machine.software().name == "Orthant") return absl::OkStatus();
  return ConfigurationError(
      absl::StrCat(cluster.given, cluster.name, ": performance.calibration = ", machine.calibration.name,
                   " is of ", machine.software().name,
                   ", whose layouts Orthant may not have; parallel: auto needs one of Orthant, as "
                   "orthant-a100, orthant-h100 or orthant-gpu, or what `orthant bench calibrate` writes"));
}

// "run.yaml:4: parallel.tensor = 3": what the user keeps from being chosen.
std::vector<std::string> KeptKeys(const LoadedConfig& loaded) {
  std::vector<std::string> kept;
  for (const char* key : {"parallel.data", "parallel.tensor", "parallel.pipeline", "parallel.sequence",
                          "parallel.zero", "parallel.schedule", "parallel.tensor_sequence", "parallel.stages",
                          "zero.shard_ranks", "zero.offload.optimizer", "zero.offload.parameters",
                          "memory.recompute", "memory.limit", "train.micro_batch"}) {
    if (!loaded.IsDefault(key)) kept.push_back(loaded.Cite(key));
  }
  return kept;
}

std::string Line(const char* place, const LayoutPrediction& p) {
  return absl::StrFormat("           %-10s %s: %s a step, %s a rank\n", place, p.layout.ToString(),
                         FormatDuration(p.time.step), FormatBytes(p.WorstStage().total()));
}

std::string ReportOf(const SearchRequest& request, const SearchResult& result, size_t chosen,
                     const LoadedConfig& loaded) {
  std::string text =
      absl::StrCat("plan       ", request.machine.name, ", ", request.ranks,
                   request.ranks == 1 ? " rank" : " ranks", ": ", FormatCount(result.layouts), " layouts, ",
                   FormatCount(result.fitting), " fit\n", Line("choice", result.best[chosen]));
  if (result.best.size() > chosen + 1) absl::StrAppend(&text, Line("runner-up", result.best[chosen + 1]));
  for (const std::string& key : KeptKeys(loaded)) absl::StrAppend(&text, "           kept       ", key, "\n");
  return text;
}

absl::StatusOr<SearchRequest> RequestFor(const RunConfig& config, const LoadedConfig& loaded,
                                         const PlanKeys& plan, const std::string& option,
                                         const PlannedRanks& ranks) {
  const absl::StatusOr<ClusterName> cluster = NameCluster(plan, loaded, option);
  if (!cluster.ok()) return cluster.status();
  absl::StatusOr<Machine> machine = LoadMachine(cluster->name, OwnPath(), cluster->given);
  if (!machine.ok()) return machine.status();
  if (absl::Status software = CheckSoftware(*machine, *cluster); !software.ok()) return software;
  absl::StatusOr<Workload> workload = WorkloadOf(config, &loaded);
  if (!workload.ok()) return workload.status();
  absl::StatusOr<FixedChoices> fixed = FixedBy(config, loaded, *machine);
  if (!fixed.ok()) return fixed.status();
  SearchRequest request;
  request.machine = *std::move(machine);
  request.workload = *std::move(workload);
  request.fixed = *std::move(fixed);
  request.ranks = ranks.count;
  request.ranks_word = ranks.word;
  request.keep = kTried;
  LimitMemoryTo(config.memory.limit, &request);
  if (absl::Status nodes = CheckNodes(request); !nodes.ok()) return nodes;
  return request;
}

// The trainer's own rules, on a copy of the configuration with the choice in it.
absl::Status TryChoice(const LayoutChoice& choice, RunConfig config, LoadedConfig loaded, int64_t vocab) {
  if (absl::Status applied = ApplyChoice(choice, &config, &loaded); !applied.ok()) return applied;
  const OriginOf origin = [&](const std::string& key) { return loaded.OriginOf(key); };
  if (absl::Status valid = ValidateRun(config, origin); !valid.ok()) return valid;
  return CheckMemoryLimit(config, vocab, origin);
}

// Those that the launcher started; else what the file says. Not the cores of this machine: they say nothing
// of what the run is to use.
absl::StatusOr<PlannedRanks> RanksOf(const Launcher& launcher, const PlanKeys& plan,
                                     const LoadedConfig& loaded) {
  if (launcher.launched()) return PlannedRanks{launcher.processes(), "mpirun -n "};
  if (plan.ranks > 0) return PlannedRanks{plan.ranks, "plan.ranks="};
  return ConfigurationError(absl::StrCat(loaded.Cite("parallel.layout"),
                                         ": on how many ranks is not said: start them (mpirun -n N orthant "
                                         "train ..., or orthant launch --ranks N -- train ...), or set "
                                         "plan.ranks=N for N threads of this process"));
}

// The first process's choice, on all. Collective over processes.
absl::Status Share(Launcher& launcher, const CommConfig& comm, LayoutChoice* choice) {
  if (!launcher.launched()) return absl::OkStatus();
  return launcher.Run(comm, launcher.processes(), 1, [&](Communicator& world, const RankEnvironment&) {
    choice->yaml = BroadcastText(choice->yaml, 0, world);
    choice->origin = BroadcastText(choice->origin, 0, world);
    return absl::OkStatus();
  });
}

}  // namespace

void DescribeRunFile(Fields& fields, RunConfig& config, PlanKeys& plan) {
  Describe(fields, config);
  fields.Choice("parallel.layout", &plan.layout, {"written", "auto"})
      .Doc(
          "auto: the planner chooses the layout at the start, for the machine and the ranks "
          "(docs/planning.md); what is set of it restricts the choice. `parallel: auto` is short for it and "
          "replaces the whole section.");
  fields.Section("plan", "What `parallel: auto` plans for.", [&plan](Fields& s) {
    s.Text("cluster", &plan.cluster)
        .Doc(
            "The machine: a name in configs/clusters, or a file, as `orthant bench calibrate` writes; "
            "--cluster and then ORTHANT_CLUSTER come first.");
    s.Integer("ranks", &plan.ranks)
        .AtLeast(0)
        .AtMost(1 << 17)
        .Doc("Ranks, where no launcher has started them: threads of this process; 0: not said.");
  });
}

absl::StatusOr<LoadedConfig> LoadRunFile(const RunFileOptions& options, RunConfig* config, PlanKeys* plan) {
  return LoadConfig(options.path, options.overrides,
                    [&](Fields& fields) { DescribeRunFile(fields, *config, *plan); });
}

absl::Status CheckElastic(const PlanKeys& plan, const LoadedConfig& loaded, const std::string& given) {
  if (!plan.automatic()) return absl::OkStatus();
  return ConfigurationError(absl::StrCat(loaded.Cite("parallel.layout"), ": ", given,
                                         " makes parallel.data of a run smaller, and parallel: auto chooses "
                                         "it; write the degrees out, or leave --elastic out"));
}

void AddPlanCluster(CLI::App& command, std::string* cluster) {
  command.add_option("--cluster", *cluster,
                     "With parallel: auto, the machine: a name in configs/clusters, or a file; without: "
                     "ORTHANT_CLUSTER, else plan.cluster");
}

absl::StatusOr<LayoutChoice> ChooseLayout(const RunConfig& config, const LoadedConfig& loaded,
                                          const PlanKeys& plan, const std::string& cluster,
                                          const PlannedRanks& ranks) {
  const absl::StatusOr<SearchRequest> request = RequestFor(config, loaded, plan, cluster, ranks);
  if (!request.ok()) return request.status();
  const SearchResult result = Search(*request);
  if (absl::Status why = WhyNothing(*request, result); !why.ok()) {
    const std::vector<std::string> kept = KeptKeys(loaded);
    return kept.empty() ? why
                        : ConfigurationError(absl::StrCat(std::string(why.message()),
                                                          "\nwith what is set kept as it is:\n  ",
                                                          absl::StrJoin(kept, "\n  ")));
  }
  absl::Status first;  // why the planner's best is not to be
  for (size_t i = 0; i < result.best.size(); ++i) {
    const LayoutPrediction& p = result.best[i];
    LayoutChoice choice;
    choice.origin = absl::StrCat("plan: ", request->machine.name, ", ", ranks.count,
                                 ranks.count == 1 ? " rank" : " ranks", ", predicted ",
                                 FormatDuration(p.time.step), " a step");
    choice.yaml = LayoutYaml(p.layout, choice.origin);
    const absl::Status tried = TryChoice(choice, config, loaded, request->workload.model.vocab);
    if (tried.ok()) {
      choice.report = ReportOf(*request, result, i, loaded);
      return choice;
    }
    if (first.ok()) first = tried;
  }
  return first;
}

absl::Status ApplyChoice(const LayoutChoice& choice, RunConfig* config, LoadedConfig* loaded) {
  RunConfig chosen;
  const absl::StatusOr<LoadedConfig> keys = LoadConfigFromText(
      choice.yaml, choice.origin, {}, [&chosen](Fields& fields) { Describe(fields, chosen); });
  if (!keys.ok()) return keys.status();
  const auto open = [&](const std::string& key) { return !keys->IsDefault(key) && loaded->IsDefault(key); };
  // Of the run's keys alone: as it is recorded the layout is written out, and starts the same run anywhere.
  Fields fields;
  Describe(fields, *config);
  for (const LoadedConfig::Entry& entry : keys->entries())
    if (open(entry.key)) fields.Find(entry.key)->Set(entry.value);
  *loaded = LoadedConfig(
      fields, [&](const std::string& key) { return open(key) ? choice.origin : loaded->OriginOf(key); });
  return absl::OkStatus();
}

absl::Status ResolveLayout(Launcher& launcher, const PlanKeys& plan, const std::string& cluster, bool json,
                           RunConfig* config, LoadedConfig* loaded) {
  if (!plan.automatic() && !cluster.empty()) {
    return launcher.Agree(ConfigurationError(
        absl::StrCat("--cluster ", cluster,
                     " is for parallel: auto, and this run's layout is written; set parallel=auto, or leave "
                     "--cluster out")));
  }
  if (!plan.automatic()) return launcher.Agree(ApplyChoice({}, config, loaded));  // the keys go
  // One process plans and the others are told: the search's arithmetic may round otherwise on another host's
  // processor, and files may change between two readings.
  LayoutChoice choice;
  absl::Status chosen;
  if (launcher.first()) {
    const absl::StatusOr<PlannedRanks> ranks = RanksOf(launcher, plan, *loaded);
    absl::StatusOr<LayoutChoice> made =
        ranks.ok() ? ChooseLayout(*config, *loaded, plan, cluster, *ranks) : ranks.status();
    chosen = made.status();
    if (made.ok()) choice = *std::move(made);
  }
  if (absl::Status agreed = launcher.Agree(chosen); !agreed.ok()) return agreed;
  if (absl::Status shared = Share(launcher, config->comm, &choice); !shared.ok()) return shared;
  if (launcher.first()) std::fputs(choice.report.c_str(), json ? stderr : stdout);
  return launcher.Agree(ApplyChoice(choice, config, loaded));
}

}  // namespace orthant
