// Which hosts an attempt lost: from what the launcher printed and from which ranks did not answer. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "orthant/launch/launch_plan.h"

namespace orthant {

// The host that a launcher's own line reports as lost or unreachable; "" when it reports none. Knows
// OpenMPI's
// ("Remote daemon: ... on node n2"), SLURM's ("srun: error: Node failure on n2"), ssh's ("ssh: connect to
// host n2").
std::string HostInMessage(absl::string_view line);

// `reported`: hosts that HostInMessage found. `unanswering`: ranks that have not answered, whatever they were
// doing: a host all of whose ranks are among them counts as lost where others have answered. -> names among
// plan.hosts, in their order.
std::vector<std::string> LostHosts(const LaunchPlan& plan, const std::vector<std::string>& reported,
                                   const std::vector<int>& unanswering);

}  // namespace orthant
