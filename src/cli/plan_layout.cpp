// orthant plan RUN.yaml --cluster NAME --ranks N: every legal layout, and the best of them.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "cli/launch_options.h"
#include "cli/plan.h"
#include "cli/plan_page.h"
#include "cli/plan_workload.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/plan/plan_report.h"

namespace orthant {
namespace {

struct Asked {
  Workload workload;
  int64_t ranks = 0;  // of the file's mesh; 0: it has none
  int64_t limit = 0;  // memory.limit
};

absl::StatusOr<Asked> FromRun(const RunConfig& config) {
  const absl::StatusOr<Workload> workload = WorkloadOf(config);
  if (!workload.ok()) return workload.status();
  return Asked{*workload, config.parallel.degrees().world(), config.memory.limit};
}

// A run's file, or one of configs/models of a family that the trainer lacks.
absl::StatusOr<Asked> Load(const RunFileOptions& run) {
  RunConfig config;
  const absl::StatusOr<LoadedConfig> loaded = LoadRun(run, &config);
  if (loaded.ok()) return FromRun(config);
  const absl::StatusOr<PlanFile> file = LoadPlanFile(run.path, run.overrides);
  if (!file.ok()) return loaded.status();
  if (file->global_batch == 0) {
    return ConfigurationError(
        absl::StrCat(run.path, ": train.global_batch is not set; give it, as train.global_batch=1024"));
  }
  Asked asked;
  asked.workload = {file->model, file->global_batch, file->dtype, PrecisionOfDtype(file->dtype)};
  return asked;
}

}  // namespace

absl::Status PlanLayout(const PlanLayoutOptions& options) {
  const absl::StatusOr<Asked> asked = Load(options.run);
  if (!asked.ok()) return asked.status();
  absl::StatusOr<Machine> machine = LoadMachine(options.cluster, OwnPath());
  if (!machine.ok()) return machine.status();
  PlanReport report;
  SearchRequest& request = report.request;
  request.machine = *std::move(machine);
  request.workload = asked->workload;
  request.ranks = options.ranks > 0 ? options.ranks : asked->ranks;
  request.keep = options.show;
  if (request.ranks == 0)
    return ConfigurationError(absl::StrCat(options.run.path, " has no mesh: give --ranks N"));
  if (asked->limit > 0)
    request.machine.memory_bytes = static_cast<double>(asked->limit) + request.machine.software().reserve;
  if (request.ranks > request.machine.node_ranks && request.machine.network_bandwidth == 0) {
    return ConfigurationError(
        absl::StrCat("--ranks ", request.ranks, ": ", request.machine.name, " has one node of ",
                     request.machine.node_ranks,
                     " devices by its file (performance.network_bandwidth is 0); nearest legal: ",
                     request.machine.node_ranks));
  }
  report.result = Search(request);
  if (absl::Status why = WhyNothing(request, report.result); !why.ok()) return why;
  report.rejections = Rejections(request, report.result);
  if (options.explain) report.rules = ApplyRules(request, report.result);

  const std::string text =
      options.format == "json" ? PlanJson(report).dump(2) + "\n" : PlanText(report, TableStyleFor(1));
  std::fputs(text.c_str(), stdout);
  if (const absl::Status drawn = WritePlanPictures(report, options); !drawn.ok()) return drawn;
  if (options.write.empty()) return absl::OkStatus();
  const std::string comment = absl::StrCat("orthant plan ", options.run.path, " --cluster ", options.cluster,
                                           " --ranks ", request.ranks);
  const PlannedLayout& best = report.result.best.front().layout;
  if (absl::Status written = WriteFileAtomically(options.write, LayoutYaml(best, comment)); !written.ok())
    return written;
  std::fprintf(stderr, "wrote %s\n", options.write.c_str());
  return absl::OkStatus();
}

}  // namespace orthant
