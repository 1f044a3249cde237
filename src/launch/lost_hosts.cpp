#include "orthant/launch/lost_hosts.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace orthant {
namespace {

// The word behind `mark`, without marks of punctuation at its end.
std::string WordBehind(absl::string_view line, absl::string_view mark) {
  const size_t at = line.find(mark);
  if (at == absl::string_view::npos) return "";
  absl::string_view rest = line.substr(at + mark.size());
  rest = rest.substr(0, rest.find_first_of(" \t,:;"));
  while (absl::ConsumeSuffix(&rest, ".")) {
  }
  return std::string(rest);
}

// SLURM knows a node by its short name, OpenMPI perhaps by its long one.
bool SameHost(const std::string& one, const std::string& other) {
  if (one == other) return true;
  return one.substr(0, one.find('.')) == other.substr(0, other.find('.')) &&
         (!absl::StrContains(one, '.') || !absl::StrContains(other, '.'));
}

}  // namespace

std::string HostInMessage(absl::string_view line) {
  if (absl::StrContains(line, "Remote daemon:")) return WordBehind(line, " on node ");
  if (absl::StrContains(line, "srun: error:")) {
    for (const char* mark : {"Node failure on ", "failed on node "}) {
      if (std::string host = WordBehind(line, mark); !host.empty()) return host;
    }
    return "";
  }
  for (const char* mark : {"ssh: connect to host ", "ssh: Could not resolve hostname "}) {
    if (std::string host = WordBehind(line, mark); !host.empty()) return host;
  }
  return "";
}

std::vector<std::string> LostHosts(const LaunchPlan& plan, const std::vector<std::string>& reported,
                                   const std::vector<int>& unanswering) {
  std::map<std::string, int> silent;  // ranks by host
  for (const int rank : unanswering) {
    if (rank >= 0 && rank < plan.world) ++silent[plan.HostOf(rank)];
  }
  const bool others = static_cast<int64_t>(unanswering.size()) < plan.world;
  std::vector<std::string> lost;
  for (const std::string& host : plan.hosts) {
    const bool told = std::any_of(reported.begin(), reported.end(),
                                  [&](const std::string& name) { return SameHost(name, host); });
    const auto found = silent.find(host);
    const bool mute = others && found != silent.end() && found->second == plan.ranks_per_host;
    if (told || mute) lost.push_back(host);
  }
  return lost;
}

}  // namespace orthant
