#include "cli/sweep_cases.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/launch_options.h"
#include "cli/plan_workload.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/core/hash.h"
#include "orthant/core/status.h"
#include "orthant/plan/step_model.h"
#include "orthant/sweep/case_process.h"
#include "orthant/train/validate.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

// Whether the sweep's way to start ranks is one that the run's backend takes.
absl::Status CheckBackend(const std::string& backend, const RunConfig& config, const LoadedConfig& loaded) {
  const std::string& wanted = config.comm.backend;
  if (backend == "mpirun" && wanted == "local") {
    return ConfigurationError(absl::StrCat(loaded.Cite("comm.backend"),
                                           ": it keeps all ranks in one process, and sweep.backend = mpirun "
                                           "makes a process of each; set comm.backend=auto"));
  }
  if (backend == "threads" && (wanted == "mpi" || wanted == "nccl")) {
    return ConfigurationError(
        absl::StrCat(loaded.Cite("comm.backend"),
                     ": it needs a process for each rank, and sweep.backend = threads "
                     "has one for all; set sweep.backend=mpirun, or comm.backend=auto"));
  }
  return absl::OkStatus();
}

// Loads and checks a case as `orthant train` will. -> its configuration as JSON
absl::StatusOr<std::string> LoadCase(const SweepFile& file, const SweepCase& one, RunConfig* config) {
  if (!one.problem.empty()) return ConfigurationError(one.problem);
  const RunFileOptions run = {file.settings.run, OverridesOf(file.settings, one)};
  const absl::StatusOr<LoadedConfig> loaded = LoadRun(run, config);
  if (!loaded.ok()) return loaded.status();
  const absl::Status valid =
      ValidateRun(*config, [&](const std::string& key) { return loaded->OriginOf(key); });
  if (!valid.ok()) return valid;
  if (absl::Status fits = CheckBackend(file.settings.backend, *config, *loaded); !fits.ok()) return fits;
  Json json = loaded->ToJson();
  json["run"].erase("dir");  // the same folder may be spelled otherwise
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void PredictOne(const Machine& machine, const RunConfig& config, CaseRecord* record) {
  const int64_t ranks = config.parallel.degrees().world();
  if (!machine.HasNodesFor(ranks)) return;
  const absl::StatusOr<Workload> workload = WorkloadOf(config);
  if (!workload.ok()) return;
  const absl::StatusOr<LayoutPrediction> prediction = Predict(machine, *workload, PlannedLayoutOf(config));
  if (!prediction.ok() || !std::isfinite(prediction->time.step)) return;
  record->predicted_seconds = prediction->time.step;
  record->predicted_bytes = prediction->WorstStage().total();
}

}  // namespace

SweepState JudgeCases(const SweepFile& file) {
  const SweepSettings& s = file.settings;
  SweepState state{s.name, s.run, s.scaling, s.backend, {}};
  for (SweepCase& one : CasesOf(file)) {
    CaseRecord record;
    RunConfig config;
    const absl::StatusOr<std::string> loaded = LoadCase(file, one, &config);
    if (loaded.ok()) {
      record.configuration = absl::StrFormat("%016x", Xxh64(*loaded));
      one.ranks = config.parallel.degrees().world();
    } else {
      record.state = CaseState::kIllegal;
      record.exit_code = static_cast<int>(ExitCodeOf(loaded.status()));
      record.error = std::string(loaded.status().message());
    }
    record.what = std::move(one);
    state.cases.push_back(std::move(record));
  }
  return state;
}

std::string CalibrationOf(const SweepSettings& settings, int64_t ranks) {
  if (settings.calibration != "measure") return settings.calibration;
  return absl::StrCat(settings.dir, "/calibration-r", ranks, ".yaml");
}

absl::Status PredictCases(const SweepFile& file, const std::string& calibration, int64_t ranks,
                          SweepState* state) {
  const absl::StatusOr<Machine> machine = LoadMachine(calibration, OwnPath(), "sweep.calibration = ");
  if (!machine.ok()) return machine.status();
  for (CaseRecord& record : state->cases) {
    if (record.state == CaseState::kIllegal || (ranks > 0 && record.what.ranks != ranks)) continue;
    RunConfig config;
    if (LoadCase(file, record.what, &config).ok()) PredictOne(*machine, config, &record);
  }
  return absl::OkStatus();
}

}  // namespace orthant
