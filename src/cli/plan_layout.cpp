// orthant plan RUN.yaml --cluster NAME --ranks N: every legal layout, and the best of them.
#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "cli/auto_layout.h"
#include "cli/launch_options.h"
#include "cli/plan.h"
#include "cli/plan_page.h"
#include "cli/plan_request.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/plan/plan_report.h"

namespace orthant {
namespace {

constexpr int64_t kEvery = 1 << 20;  // layouts: more than a search keeps

// What a file asks of a plan on `machine`.
struct Asked {
  Workload workload;
  int64_t ranks = 0;   // of the file's mesh; 0: it has none
  int64_t limit = 0;   // memory.limit
  FixedChoices fixed;  // with parallel: auto, as `train` would keep them
  bool run = false;    // it can be trained, and is not a model alone
};

absl::StatusOr<Asked> FromRun(const RunConfig& config, const PlanKeys& plan, const LoadedConfig& loaded,
                              const Machine& machine) {
  absl::StatusOr<Workload> workload = WorkloadOf(config, &loaded);
  if (!workload.ok()) return workload.status();
  Asked asked;
  asked.workload = *std::move(workload);
  asked.limit = config.memory.limit;
  asked.run = true;
  asked.ranks = plan.automatic() ? plan.ranks : config.parallel.degrees().world();
  if (!plan.automatic()) return asked;
  absl::StatusOr<FixedChoices> fixed = FixedBy(config, loaded, machine);
  if (!fixed.ok()) return fixed.status();
  asked.fixed = *std::move(fixed);
  return asked;
}

// A run's file, or one of configs/models of a family that the trainer lacks.
absl::StatusOr<Asked> Load(const RunFileOptions& run, const Machine& machine) {
  RunConfig config;
  PlanKeys plan;
  const absl::StatusOr<LoadedConfig> loaded = LoadRunFile(run, &config, &plan);
  if (loaded.ok()) return FromRun(config, plan, *loaded, machine);
  std::string family;
  const absl::StatusOr<PlanFile> file = LoadPlanFile(run.path, run.overrides, &family);
  if (!file.ok()) return family == PlanModel().family ? loaded.status() : file.status();
  if (file->global_batch == 0) {
    return ConfigurationError(
        absl::StrCat(run.path, ": train.global_batch is not set; give it, as train.global_batch=1024"));
  }
  Asked asked;
  asked.workload = {file->model, file->global_batch, file->dtype, PrecisionOfDtype(file->dtype)};
  return asked;
}

// Whether what is to be done with the plan can be, before it is made.
absl::Status CheckUses(const PlanLayoutOptions& options, const Machine& machine, const Asked& asked) {
  if (!options.write.empty() && machine.software().name != "Orthant") {
    return ConfigurationError(absl::StrCat(
        "--write ", options.write, ": ", machine.name, " has the constants of ", machine.software().name,
        ", whose layouts Orthant may not have; take a cluster whose performance.calibration is of Orthant"));
  }
  if (options.measure.layouts == 0) return absl::OkStatus();
  if (!asked.run) {
    return ConfigurationError(absl::StrCat("--measure trains steps, and ", options.run.path,
                                           " is a model alone; give a run, or leave --measure out"));
  }
  return CheckMeasurable(machine);
}

// The search, and with --measure the steps of its layouts.
absl::Status SearchAndMeasure(const PlanLayoutOptions& options, PlanReport* report) {
  const MeasureOptions& measure = options.measure;
  SearchRequest& request = report->request;
  request.keep = measure.spread ? kEvery : std::max(options.show, measure.layouts);
  report->result = Search(request);
  if (absl::Status why = WhyNothing(request, report->result); !why.ok()) return why;
  std::vector<LayoutPrediction>& best = report->result.best;
  if (measure.layouts > 0) {
    absl::StatusOr<std::vector<MeasuredLayout>> measured =
        MeasureLayouts(best, options.run, request.machine, measure);
    if (!measured.ok()) return measured.status();
    report->measured = *std::move(measured);
  }
  best.resize(std::min(best.size(), static_cast<size_t>(options.show)));
  return absl::OkStatus();
}

// The choice, or what was quickest of what was measured.
absl::Status WriteBest(const PlanLayoutOptions& options, const PlanReport& report) {
  const MeasuredLayout* quickest = QuickestOf(report.measured);
  const PlannedLayout& best =
      quickest != nullptr ? quickest->prediction.layout : report.result.best.front().layout;
  const std::string comment =
      absl::StrCat("orthant plan ", options.run.path, " --cluster ", options.cluster, " --ranks ",
                   report.request.ranks, quickest != nullptr ? ", the quickest measured" : "");
  if (absl::Status s = WriteFileAtomically(options.write, LayoutYaml(best, comment)); !s.ok()) return s;
  std::fprintf(stderr, "wrote %s\n", options.write.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::Status PlanLayout(const PlanLayoutOptions& options) {
  absl::StatusOr<Machine> machine = LoadMachine(options.cluster, OwnPath());
  if (!machine.ok()) return machine.status();
  const absl::StatusOr<Asked> asked = Load(options.run, *machine);
  if (!asked.ok()) return asked.status();
  if (absl::Status useful = CheckUses(options, *machine, *asked); !useful.ok()) return useful;
  PlanReport report;
  SearchRequest& request = report.request;
  request.machine = *std::move(machine);
  request.workload = asked->workload;
  request.ranks = options.ranks > 0 ? options.ranks : asked->ranks;
  request.fixed = asked->fixed;
  if (request.ranks == 0)
    return ConfigurationError(absl::StrCat(options.run.path, " has no mesh: give --ranks N"));
  LimitMemoryTo(asked->limit, &request);
  if (absl::Status nodes = CheckNodes(request); !nodes.ok()) return nodes;
  if (absl::Status searched = SearchAndMeasure(options, &report); !searched.ok()) return searched;
  report.rejections = Rejections(request, report.result);
  if (options.explain) report.rules = ApplyRules(request, report.result);

  const std::string text =
      options.format == "json" ? PlanJson(report).dump(2) + "\n" : PlanText(report, TableStyleFor(1));
  std::fputs(text.c_str(), stdout);
  if (const absl::Status drawn = WritePlanPictures(report, options); !drawn.ok()) return drawn;
  return options.write.empty() ? absl::OkStatus() : WriteBest(options, report);
}

}  // namespace orthant
