// Lists of hosts as schedulers write them: SLURM's compressed form, and host files (OpenMPI's, MPICH's,
// PBS's). Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace orthant {

struct Host {
  std::string name;
  int slots = 0;  // ranks that it is meant for; 0: not said

  bool operator==(const Host&) const = default;
};

// "n[001-003,7],m2" -> n001 n002 n003 n7 m2, in this order. A range keeps the width of its first number; a
// name may hold several brackets. ConfigurationError says where it cannot be read.
absl::StatusOr<std::vector<std::string>> ExpandHostList(absl::string_view text);

// One host a line; '#' begins a comment. `host slots=4`, `host:4` and a host that stands on several lines (as
// in PBS_NODEFILE) say how many ranks it is meant for; other words behind the name (max_slots=...) are passed
// over. `origin` (its path) begins a message. ConfigurationError for what cannot be read, and when there is
// no host.
absl::StatusOr<std::vector<Host>> ParseHostFile(absl::string_view text, const std::string& origin);

// "n1, n2, n3 ... n64" where there are many.
std::string HostsInWords(const std::vector<std::string>& names);

}  // namespace orthant
