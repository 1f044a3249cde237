// Finds which hosts a job has: from SLURM, PBS or a host file, or this machine alone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/launch/host_list.h"
#include "orthant/launch/surroundings.h"

namespace orthant {

enum class Scheduler { kNone, kHostFile, kSlurm, kPbs };
// "none", "host file", "slurm", "pbs"
std::string ToString(Scheduler scheduler);

struct Allocation {
  Scheduler scheduler = Scheduler::kNone;
  std::string job;           // its number; "" without one
  std::vector<Host> hosts;   // in the order of ranks; without a scheduler this machine
  std::string host_file;     // its path; "" when the hosts stand in no file
  std::string source;        // where the hosts stand: "SLURM_JOB_NODELIST = n[1-2]"
  int ranks_per_host = 0;    // that the job asked for; 0: it did not say
  std::string ranks_source;  // where that stands
  int cpus_per_host = 0;     // that the scheduler granted on this host; 0: not known
};

struct AllocationOptions {
  std::string scheduler = "auto";  // auto, slurm, pbs, none
  std::string host_file;           // "": ORTHANT_HOSTFILE, or the scheduler's
};

// ConfigurationError for a host file or list that cannot be read or is empty; EnvironmentError when a
// scheduler that was asked for shows no allocation.
absl::StatusOr<Allocation> FindAllocation(const AllocationOptions& options, const Surroundings& surroundings);

}  // namespace orthant
