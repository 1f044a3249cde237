// Batch scripts: a shell template with @NAME@ placeholders, filled in. Templates: launch/slurm.sbatch,
// launch/pbs.sh. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/launch/cluster_config.h"

namespace orthant {

// Replaces each @NAME@ (capital letters and '_'). A line that begins with #SBATCH or #PBS and has a
// placeholder whose value is empty is left out. A value of several lines goes in as it is. `origin` (the
// template's path) begins a message: ConfigurationError for a placeholder that has no value in the map.
absl::StatusOr<std::string> FillTemplate(const std::string& text,
                                         const std::map<std::string, std::string>& values,
                                         const std::string& origin);

struct BatchJob {
  std::string scheduler;  // "slurm" or "pbs"
  std::string name;       // of the job
  std::string folder;     // that it runs in
  std::string script;     // path that the script is written to, for a job that submits itself again
  std::string output;     // file for what it prints; "": the template's own
  std::string queue, account;
  int64_t nodes = 1;
  int ranks_per_host = 1;
  int64_t seconds = 0;               // time limit
  int64_t warn_seconds = 120;        // before it: SIGUSR1
  bool requeue = true;               // after a node's failure
  bool resubmit = false;             // after the time limit, while the run is not finished
  std::vector<std::string> options;  // further lines of the head
  std::vector<std::string> command;  // the work
};

// What the templates may name: NAME, NODES, RANKS_PER_HOST, RANKS, SELECT (of PBS), TIME (01:30:00), WARN
// (seconds before the limit), WARN_AFTER (seconds after the start), QUEUE, ACCOUNT, GPUS, CORES, REQUEUE
// (--requeue or --no-requeue; y or n), RESUBMIT (1 or 0), OPTIONS (whole lines), SETUP (shell lines), FOLDER,
// SCRIPT, OUTPUT and COMMAND (quoted for a shell).
std::map<std::string, std::string> TemplateValues(const BatchJob& job, const ClusterConfig& cluster);

// ConfigurationError where the job cannot be: a time limit not above `warn_seconds`, a queue that does not
// take it.
absl::Status CheckJob(const BatchJob& job, const ClusterConfig& cluster);

// The job's number in what sbatch ("Submitted batch job 42") or qsub ("42.server") printed; "" when there is
// none.
std::string JobNumber(const std::string& scheduler, const std::string& printed);

// A word as a shell takes it: in quotes where it must be.
std::string ShellWord(const std::string& word);
// Words, a blank between.
std::string ShellLine(const std::vector<std::string>& words);

}  // namespace orthant
