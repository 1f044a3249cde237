#include "cli/launch_facts.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/launch_command.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

std::string Backend(const LaunchPlan& plan) {
  if (plan.starter == RankStarter::kNone) return "local";
  return plan.devices > 0 ? "nccl" : "mpi";
}

std::string Counted(const std::vector<std::string>& hosts) {
  return absl::StrCat(hosts.size(), ": ", HostsInWords(hosts));
}

std::string HostsText(const LaunchPlan& plan) {
  std::string text = Counted(plan.hosts);
  if (!plan.spares.empty()) absl::StrAppend(&text, "; spare ", Counted(plan.spares));
  if (!plan.lost.empty()) absl::StrAppend(&text, "; lost ", Counted(plan.lost));
  return text;
}

std::string DeviceText(const LaunchPlan& plan) {
  const std::string cores = absl::StrCat(plan.cores, plan.cores == 1 ? " core" : " cores");
  if (plan.devices == 0) return absl::StrCat("cpu, ", cores, " a host");
  return absl::StrCat(plan.devices, " x ", plan.device, " and ", cores, " a host");
}

std::string BindingText(const LaunchPlan& plan) {
  if (plan.binding.empty()) return "none";
  return absl::StrCat("cores ", absl::StrJoin(plan.binding, " ", [](std::string* out, const Cores& cores) {
                        *out += FormatCores(cores);
                      }));
}

}  // namespace

std::string FactsText(const LaunchPlan& plan, const ClusterConfig& cluster) {
  const Allocation& found = plan.allocation;
  std::vector<std::pair<std::string, std::string>> rows;
  if (!cluster.name.empty()) rows.emplace_back("cluster", cluster.name);
  rows.emplace_back("scheduler", absl::StrCat(ToString(found.scheduler), found.job.empty() ? "" : ", job ",
                                              found.job, " (", found.source, ")"));
  rows.emplace_back("hosts", HostsText(plan));
  rows.emplace_back("host file", found.host_file.empty() ? "-" : found.host_file);
  rows.emplace_back("device", DeviceText(plan));
  rows.emplace_back("backend", Backend(plan));
  rows.emplace_back("ranks per host", absl::StrCat(plan.ranks_per_host, " (", plan.ranks_source, ")"));
  rows.emplace_back("world size", absl::StrCat(plan.world));
  rows.emplace_back("launcher", ToString(plan.starter));
  if (plan.starter != RankStarter::kNone) {
    rows.emplace_back("binding", BindingText(plan));
    rows.emplace_back("environment", absl::StrJoin(plan.environment, " "));
  }
  for (const std::string& note : plan.notes) rows.emplace_back("note", note);
  if (!cluster.name.empty() && !cluster.tried) {
    rows.emplace_back("note", "the cluster's file has not been tried on the machine (cluster.tried: false)");
  }
  std::string text;
  for (const auto& [name, value] : rows) absl::StrAppend(&text, absl::StrFormat("%-15s %s\n", name, value));
  return text;
}

nlohmann::ordered_json FactsJson(const LaunchPlan& plan, const ClusterConfig& cluster) {
  Json environment = Json::object();
  for (const std::string& assignment : plan.environment) {
    const size_t equals = assignment.find('=');
    environment[assignment.substr(0, equals)] = assignment.substr(equals + 1);
  }
  Json binding = Json::array();
  for (const Cores& cores : plan.binding) binding.push_back(FormatCores(cores));
  return {{"cluster", cluster.name},
          {"scheduler", ToString(plan.allocation.scheduler)},
          {"job", plan.allocation.job},
          {"source", plan.allocation.source},
          {"hosts", plan.hosts},
          {"spare_hosts", plan.spares},
          {"lost_hosts", plan.lost},
          {"host_file", plan.allocation.host_file},
          {"device", plan.device},
          {"devices_per_host", plan.devices},
          {"cores_per_host", plan.cores},
          {"backend", Backend(plan)},
          {"ranks_per_host", plan.ranks_per_host},
          {"ranks_per_host_source", plan.ranks_source},
          {"world_size", plan.world},
          {"launcher", ToString(plan.starter)},
          {"binding", binding},
          {"environment", environment},
          {"rank_file", plan.rank_file},
          {"notes", plan.notes},
          {"command", plan.command},
          {"line", CommandText(plan.command)}};
}

}  // namespace orthant
