// How many ranks stand on how many hosts. Pure arithmetic.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace orthant {

struct RankNeeds {
  int64_t ranks = 0;            // in all; 0: as many as fit
  int ranks_per_host = 0;       // exactly; 0: not said
  int capacity = 0;             // at most on a host (its devices, its slots); 0: not known
  std::string capacity_source;  // "4 devices", "SLURM_NTASKS_PER_NODE"
  int spare_hosts = 0;          // to be kept
};

struct RankLayout {
  int hosts = 1;
  int ranks_per_host = 1;
  std::string source;  // why so many on a host: "4 devices", "--ranks-per-host", "16 ranks on 2 hosts"
  int64_t ranks() const { return int64_t{hosts} * ranks_per_host; }
};

// On `hosts` hosts, the same number on each. With a capacity, on the fewest hosts that divide the ranks;
// without, on all but the spare ones. ConfigurationError where they do not divide, or do not fit, with what
// would.
absl::StatusOr<RankLayout> LayOutRanks(const RankNeeds& needs, int hosts);

}  // namespace orthant
