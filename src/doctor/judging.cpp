#include "doctor/judging.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace orthant::doctor {

std::string NameOf(const Survey& survey, int rank) {
  for (const HostGroup& host : survey.hosts) {
    if (std::find(host.ranks.begin(), host.ranks.end(), rank) != host.ranks.end()) return host.name;
  }
  return "?";
}

std::string Minority(const Survey& survey, const std::function<std::string(const RankFacts&)>& value) {
  std::map<std::string, std::vector<std::string>> hosts_with;
  for (const HostGroup& host : survey.hosts) {
    std::string its = value(survey.FirstOf(host));
    for (const int rank : host.ranks) {
      const std::string own = value(survey.ranks[static_cast<size_t>(rank)]);
      if (own != its) its = own;
    }
    hosts_with[its].push_back(host.name);
  }
  if (hosts_with.size() < 2) return "";
  std::vector<std::pair<std::string, std::vector<std::string>>> sorted(hosts_with.begin(), hosts_with.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  std::vector<std::string> texts;
  for (const auto& [its, hosts] : sorted)
    texts.push_back(absl::StrCat("'", its, "' on ", ListNames(hosts, 3)));
  return ListNames(texts, 3);
}

std::vector<Crowded> CrowdedMachines(const Survey& survey) {
  struct Machine {
    Crowded crowded;
    std::set<int> cores;
    double quota = 0;
  };
  std::map<std::string, Machine> machines;
  for (const RankFacts& rank : survey.ranks) {
    const MachineFacts& facts = rank.machine;
    Machine& machine = machines[facts.boot.empty() ? facts.host : facts.boot];
    if (machine.crowded.ranks++ == 0) machine.crowded.host = NameOf(survey, rank.rank);
    machine.cores.insert(facts.cores_allowed.begin(), facts.cores_allowed.end());

    machine.quota = std::max(machine.quota, facts.core_quota);
  }
  std::vector<Crowded> crowded;
  for (auto& [boot, machine] : machines) {
    machine.crowded.cores = static_cast<double>(machine.cores.size());
    if (machine.quota > 0) machine.crowded.cores = std::min(machine.crowded.cores, machine.quota);
    if (machine.crowded.ranks > machine.crowded.cores + 1e-9) crowded.push_back(machine.crowded);
  }
  return crowded;
}

}  // namespace orthant::doctor
