#include "orthant/doctor/survey.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace orthant::doctor {

std::vector<HostGroup> GroupHosts(const std::vector<RankFacts>& ranks) {
  std::vector<HostGroup> hosts;
  std::map<std::pair<std::string, std::string>, size_t> known;
  std::map<std::string, int> named;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const MachineFacts& machine = ranks[rank].machine;
    const auto [place, added] = known.emplace(std::pair{machine.host, machine.boot}, hosts.size());
    if (added) {
      const int copy = ++named[machine.host];
      hosts.push_back({copy == 1 ? machine.host : absl::StrCat(machine.host, " (", copy, ")"), {}});
    }
    hosts[place->second].ranks.push_back(static_cast<int>(rank));
  }
  return hosts;
}

std::string ListNames(const std::vector<std::string>& names, size_t most) {
  if (names.empty()) return "none";
  if (names.size() > most + 1) {
    return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(most), ", "),
                        " and ", names.size() - most, " more");
  }
  return absl::StrJoin(names, ", ");
}

std::vector<Check> Judge(const Survey& survey) {
  std::vector<Check> checks;
  JudgeProgram(survey, &checks);
  JudgeHosts(survey, &checks);
  JudgeMachine(survey, &checks);
  JudgeSpeeds(survey, &checks);
  JudgeFolder(survey, &checks);
  return checks;
}

nlohmann::ordered_json FactsJson(const Survey& survey) {
  using Json = nlohmann::ordered_json;
  Json hosts = Json::array(), links = Json::array(), disks = Json::array(), ranks = Json::array();
  for (const HostGroup& host : survey.hosts) hosts.push_back({{"name", host.name}, {"ranks", host.ranks}});
  for (const Link& link : survey.links) {
    links.push_back(
        {{"between", {survey.nodes[static_cast<size_t>(link.a)], survey.nodes[static_cast<size_t>(link.b)]}},
         {"latency", link.latency},
         {"median_latency", link.median_latency},
         {"bandwidth", link.bandwidth},
         {"clock_offset", link.clock_offset},
         {"clock_error", link.clock_error}});
  }
  for (size_t i = 0; i < survey.disks.size(); ++i) {
    disks.push_back({{"host", survey.hosts[i].name},
                     {"write", survey.disks[i].write},
                     {"read", survey.disks[i].read},
                     {"direct", survey.disks[i].direct},
                     {"error", survey.disks[i].error}});
  }
  for (const RankFacts& rank : survey.ranks) ranks.push_back(Json(nlohmann::json(rank)));
  return {{"folder", survey.folder},
          {"hosts", std::move(hosts)},
          {"links", std::move(links)},
          {"disks", std::move(disks)},
          {"ranks", std::move(ranks)}};
}

}  // namespace orthant::doctor
