// The arguments of each rank launcher. Pure: one function a launcher.
#pragma once

#include <string>
#include <vector>

#include "orthant/launch/launch_plan.h"

namespace orthant {

struct LineParts {
  const LaunchPlan* plan = nullptr;    // all but `command`
  std::string mpi;                     // srun --mpi=
  std::vector<std::string> arguments;  // of the cluster file and of the user
  std::vector<std::string> forward;    // names of variables that every rank must have
  bool bind = true;                    // false: ranks must not be bound, whatever the launcher's own default
  bool crowded = false;                // more ranks than cores on a host
  bool this_host_only = false;
  std::vector<std::string> command;  // of a rank
};

// With labels on each line of output that ParseLabel (label.h) reads.
std::vector<std::string> ComposeLine(const LineParts& parts);

// `binding` in places among the host's cores as they lie on the NUMA nodes, which is how OpenMPI counts them.
// `order`: the cores in that order; {}: numbered so.
std::vector<Cores> InPlaces(const std::vector<Cores>& binding, const Cores& order);
// Whether places are what a launcher makes by itself when it cuts a host's cores into equal parts in order.
bool InOrder(const std::vector<Cores>& places);
// OpenMPI's rank file: "rank 3=n2 slot=8-15", a line a rank.
std::string RankFile(const LaunchPlan& plan, const std::vector<Cores>& places);
// "0xff00": the cores as a mask.
std::string CoreMask(const Cores& cores);

}  // namespace orthant
