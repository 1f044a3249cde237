// Checks of hosts as such: their names, their clocks, and what is not alike among them.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "doctor/judging.h"
#include "orthant/core/text.h"

namespace orthant::doctor {
namespace {

constexpr double kClockWarn = 1.0;  // seconds: time stamps of files and logs no longer compare

bool OnlyLoopback(const std::vector<std::string>& addresses) {
  return !addresses.empty() &&
         std::all_of(addresses.begin(), addresses.end(), [](const std::string& address) {
           return absl::StartsWith(address, "127.") || address == "::1";
         });
}

Check HostNames(const Survey& survey) {
  Check check{"host names", State::kOk, "", ""};
  std::map<std::string, std::set<std::string>> machines;
  std::vector<std::string> unknown, loopback, names;
  for (const HostGroup& host : survey.hosts) {
    const MachineFacts& machine = survey.FirstOf(host).machine;
    names.push_back(host.name);
    machines[machine.host].insert(machine.boot);
    if (machine.addresses.empty()) unknown.push_back(host.name);
    if (OnlyLoopback(machine.addresses)) loopback.push_back(host.name);
  }
  for (const auto& [name, boots] : machines) {
    if (boots.size() < 2) continue;
    return {check.name, State::kFail,
            absl::StrCat(boots.size(), " machines are called ", name,
                         ": who runs where cannot be told apart, and MPI may use shared memory between them"),
            "give each host its own name (hostnamectl set-hostname)"};
  }
  check.text = absl::StrCat(ListNames(names), survey.between_hosts() ? ": unique" : "");
  if (!unknown.empty()) {
    check.state = State::kWarn;
    absl::StrAppend(&check.text, "; not resolved on the host itself: ", ListNames(unknown));
    check.remedy = "enter the names in DNS or /etc/hosts: launchers and NCCL look hosts up by name";
  } else if (survey.between_hosts() && !loopback.empty()) {
    check.state = State::kWarn;
    absl::StrAppend(&check.text, "; resolve to a loopback address: ", ListNames(loopback));
    check.remedy =
        "take the name off the 127.* line of /etc/hosts: others would be told an address that leads to "
        "themselves";
  } else {
    absl::StrAppend(&check.text, survey.between_hosts() ? " and resolved" : ", resolved");
  }
  return check;
}

Check HostClocks(const Survey& survey) {
  Check check{"host clocks", State::kOk, "one clock", ""};
  if (!survey.between_hosts()) return check;
  const Clocks clocks = ClocksOf(static_cast<int>(survey.nodes.size()), survey.links);
  const double middle = LowMedian(clocks.offset);
  double widest = 0;
  std::vector<std::string> off;
  for (size_t node = 0; node < survey.nodes.size(); ++node) {
    const double offset = clocks.offset[node] - middle;
    widest = std::max(widest, std::abs(offset));
    if (std::abs(offset) - clocks.error[node] > kClockWarn)
      off.push_back(absl::StrFormat("%s by %+.3g s", survey.nodes[node], offset));
  }
  check.text = absl::StrCat("within ", FormatDuration(widest), " of one another (measured to ",
                            FormatDuration(*std::max_element(clocks.error.begin(), clocks.error.end())), ")");
  if (off.empty()) return check;
  check.state = State::kWarn;
  check.text = "clocks are off: " + ListNames(off);
  check.remedy =
      "set them by NTP (chronyc tracking, timedatectl): munge refuses credentials, and logs and files of "
      "hosts no "
      "longer compare";
  return check;
}

Check HostsAlike(const Survey& survey) {
  Check check{"hosts alike", State::kOk, "", ""};
  if (!survey.between_hosts()) {
    check.text = "one host";
    return check;
  }
  const auto differs = [&](const char* what, const std::function<std::string(const RankFacts&)>& value) {
    const std::string minority = Minority(survey, value);
    if (minority.empty()) return;
    check.state = State::kWarn;
    absl::StrAppend(&check.text, check.text.empty() ? "" : "; ", what, ": ", minority);
  };
  differs("processor", [](const RankFacts& rank) { return rank.machine.cpu; });
  differs("cores", [](const RankFacts& rank) { return absl::StrCat(rank.machine.cores); });
  differs("kernel", [](const RankFacts& rank) {
    const auto at = rank.program.versions.find("kernel");
    return at == rank.program.versions.end() ? std::string("?") : at->second;
  });
  // To whole GiB: firmware takes a little, and not the same everywhere.
  differs("GiB of memory", [](const RankFacts& rank) {
    return absl::StrCat((rank.machine.memory_total + (int64_t{1} << 29)) >> 30);
  });
  differs("fast network", [](const RankFacts& rank) { return absl::StrJoin(rank.machine.fabric, " "); });
  differs("transparent huge pages", [](const RankFacts& rank) { return rank.machine.huge_pages; });
  differs("frequency governor", [](const RankFacts& rank) { return rank.machine.governor; });
  differs("OMP_NUM_THREADS", [](const RankFacts& rank) {
    const auto at = rank.program.environment.find("OMP_NUM_THREADS");
    return at == rank.program.environment.end() ? std::string("unset") : at->second;
  });
  if (check.state == State::kOk) {
    std::set<std::string> boots;
    for (const RankFacts& rank : survey.ranks) boots.insert(rank.machine.boot);
    check.text = "processor, cores, memory, kernel and settings are the same";
    if (boots.size() < survey.hosts.size() && !boots.begin()->empty())
      absl::StrAppend(&check.text, " (", survey.hosts.size(), " hosts on ", boots.size(), " machine",
                      boots.size() == 1 ? "" : "s", ")");
    return check;
  }
  check.remedy = "ask for hosts of one kind (sbatch --constraint): the slowest sets the pace of all";
  return check;
}

}  // namespace

void JudgeHosts(const Survey& survey, std::vector<Check>* checks) {
  for (const auto judge : {HostNames, HostClocks, HostsAlike}) checks->push_back(judge(survey));
}

}  // namespace orthant::doctor
