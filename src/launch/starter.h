// Chooses what starts the ranks: by the user's word, the cluster's file, the scheduler, and what is on PATH.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/launch/allocation.h"
#include "orthant/launch/cluster_config.h"
#include "orthant/launch/launch_plan.h"
#include "orthant/launch/surroundings.h"

namespace orthant {

struct Starter {
  RankStarter kind = RankStarter::kNone;
  std::string program;
  std::string mpi;                 // of srun
  std::vector<std::string> notes;  // what the user should know
};

// `wanted`: auto, srun, openmpi, pals, mpich or none. EnvironmentError when it is not on PATH, or nothing is.
absl::StatusOr<Starter> ChooseStarter(const std::string& wanted, const ClusterConfig& cluster,
                                      const Allocation& allocation, const Surroundings& surroundings);

}  // namespace orthant
