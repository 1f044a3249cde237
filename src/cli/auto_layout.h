// `parallel: auto`: the planner's choice in a run's configuration, before anything starts. The trainer never
// sees the planner's keys: it gets the layout written out.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/run_file.h"

namespace CLI {
class App;
}

namespace orthant {

class Launcher;

// The keys of a run's file that are the planner's: parallel.layout and the section `plan`.
struct PlanKeys {
  std::string layout = "written";  // written | auto: what is not set of the layout is chosen
  std::string cluster;             // "": --cluster or ORTHANT_CLUSTER
  int64_t ranks = 0;               // without a launcher of ranks; 0: not said

  bool automatic() const { return layout == "auto"; }
};

// Every key of a run's file: the run's own and the planner's.
void DescribeRunFile(Fields& fields, RunConfig& config, PlanKeys& plan);

// As LoadRun, which refuses a layout that is auto, for the commands that can choose one.
absl::StatusOr<LoadedConfig> LoadRunFile(const RunFileOptions& options, RunConfig* config, PlanKeys* plan);

// Whether `orthant launch --elastic` can have the run: it makes parallel.data smaller, which must not be the
// planner's. `given`: the option, and of what.
absl::Status CheckElastic(const PlanKeys& plan, const LoadedConfig& loaded, const std::string& given);

// --cluster of the commands that take `parallel: auto`.
void AddPlanCluster(CLI::App& command, std::string* cluster);

// What was chosen, as text, which other processes can be sent.
struct LayoutChoice {
  std::string yaml;    // keys of a run
  std::string origin;  // of their values: "plan: a100-dgx, 64 ranks, predicted 6.75 s a step"
  std::string report;  // lines for the user
};

struct PlannedRanks {
  int64_t count = 0;
  std::string word;  // how the user says so many: "mpirun -n "
};

// The planner's choice for `config`. `cluster`: of --cluster; "": ORTHANT_CLUSTER, else plan.cluster. The
// first of the planner's list that the trainer's own rules and memory.limit allow. ConfigurationError: no
// cluster is named, it is unknown or lacks facts, nothing is legal or fits.
absl::StatusOr<LayoutChoice> ChooseLayout(const RunConfig& config, const LoadedConfig& loaded,
                                          const PlanKeys& plan, const std::string& cluster,
                                          const PlannedRanks& ranks);

// Puts the choice into both, and takes the planner's keys out; what the user has set stays.
absl::Status ApplyChoice(const LayoutChoice& choice, RunConfig* config, LoadedConfig* loaded);

// For a command on ranks, whose file was loaded by LoadRunFile: chooses where the layout is auto, on the
// first process, and prints the choice there (`json`: on stderr). The same status on all, as of
// Launcher::Agree. Collective.
absl::Status ResolveLayout(Launcher& launcher, const PlanKeys& plan, const std::string& cluster, bool json,
                           RunConfig* config, LoadedConfig* loaded);

}  // namespace orthant
