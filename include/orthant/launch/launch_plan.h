// From what is asked for and what the machine shows to the line that starts the ranks, with the facts that
// led to it. A pure function of the request, the cluster's file and Surroundings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/launch/allocation.h"
#include "orthant/launch/cluster_config.h"
#include "orthant/launch/surroundings.h"
#include "orthant/launch/topology.h"

namespace orthant {

enum class RankStarter { kNone, kSrun, kOpenMpi, kPals, kMpich };
// "none", "srun", "openmpi", "pals", "mpich": as --launcher and a cluster file have it.
std::string ToString(RankStarter starter);

struct LaunchRequest {
  AllocationOptions allocation;
  std::string launcher = "auto";
  std::vector<std::string> launcher_arguments;
  std::vector<std::string> command;  // of each rank: an orthant subcommand, with the program
  int64_t ranks = 0;                 // asked for; 0: not
  int64_t mesh_ranks = 0;            // that the run's mesh has; 0: the command has no mesh
  int ranks_per_host = 0;            // asked for; 0: not
  bool one_process = false;          // the command is never started as ranks
  bool processes = false;            // each rank must be a process, on one machine too
  bool use_devices = true;           // false: ranks run on the CPU
  int spare_hosts = 0;               // to be kept
  bool bind = true;
  std::vector<std::string> without;  // hosts that are lost
};

struct LaunchPlan {
  Allocation allocation;
  RankStarter starter = RankStarter::kNone;
  std::string program;              // of the starter
  std::vector<std::string> hosts;   // that run ranks: rank r is on host r / ranks_per_host
  std::vector<std::string> spares;  // that do not
  std::vector<std::string> lost;    // that the request left out
  int64_t world = 1;                // ranks; 1 without a starter where the command has no mesh
  int ranks_per_host = 1;
  std::string ranks_source;              // why so many
  int devices = 0;                       // of a host
  std::string device;                    // "NVIDIA GPU", or "cpu"
  int cores = 0;                         // of a host
  std::vector<Cores> binding;            // of a host's ranks; {}: not bound
  std::vector<std::string> environment;  // NAME=VALUE, to be set for the command
  std::vector<std::string> command;      // the line
  std::vector<std::string> notes;        // what the user should know
  std::string rank_file;                 // for the file that `command` names as kRankFileWord; "": none

  // "n2": where a rank runs; "" without hosts.
  std::string HostOf(int64_t rank) const;
};

// Stands in LaunchPlan::command where the path of the rank file goes; whoever runs the line writes the file.
inline constexpr const char* kRankFileWord = "RANKFILE";

// ConfigurationError: ranks that do not divide over hosts, too few hosts, more ranks than the mesh has.
// EnvironmentError: a launcher that is not on PATH, a scheduler without an allocation.
absl::StatusOr<LaunchPlan> PlanLaunch(const LaunchRequest& request, const ClusterConfig& cluster,
                                      const Surroundings& surroundings);

}  // namespace orthant
