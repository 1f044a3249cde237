#include "orthant/launch/launch_plan.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "launch/launch_line.h"
#include "launch/starter.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/launch/rank_layout.h"

namespace orthant {
namespace {

// What OpenMPI hands to other hosts only when told so.
constexpr const char* kForwarded[] = {"NCCL_", "UCX_", "FI_", "OMP_", "ORTHANT_", "CUDA_", "TORCH_", "MKL_"};

std::string NameOf(const std::string& assignment) {
  return assignment.substr(0, assignment.find('='));
}

// The state of one PlanLaunch.
class Planner {
 public:
  Planner(const LaunchRequest& request, const ClusterConfig& cluster, const Surroundings& surroundings)
      : request_(request),
        cluster_(cluster),
        surroundings_(surroundings),
        topology_(ReadTopology(surroundings)) {}

  absl::StatusOr<LaunchPlan> Plan();

 private:
  absl::Status FindHosts();
  void FindDevices();
  absl::Status LayOut();
  void Bind();
  bool AmongTheHosts() const;
  void SetEnvironment();
  void Compose(const std::string& mpi);
  bool OnThisHost() const;
  int CoresPerHost() const;
  std::vector<std::string> Forwarded() const;

  const LaunchRequest& request_;
  const ClusterConfig& cluster_;
  const Surroundings& surroundings_;
  const Topology topology_;
  LaunchPlan plan_;
};

absl::Status Planner::FindHosts() {
  AllocationOptions options = request_.allocation;
  if (options.scheduler == "auto") options.scheduler = cluster_.scheduler == "none" ? "none" : "auto";
  absl::StatusOr<Allocation> found = FindAllocation(options, surroundings_);
  if (!found.ok()) return found.status();
  plan_.allocation = *std::move(found);
  for (const Host& host : plan_.allocation.hosts) {
    const std::vector<std::string>& without = request_.without;
    const bool lost = std::find(without.begin(), without.end(), host.name) != without.end();
    (lost ? plan_.lost : plan_.hosts).push_back(host.name);
  }
  if (!plan_.hosts.empty()) return absl::OkStatus();
  return ConfigurationError(
      absl::StrCat("not enough hosts: all of them are lost (", HostsInWords(plan_.lost), ")"));
}

void Planner::FindDevices() {
  plan_.cores = CoresPerHost();
  plan_.device = "cpu";
  if (!request_.use_devices) return;
  plan_.devices = cluster_.node.gpus > 0 ? cluster_.node.gpus : static_cast<int>(topology_.devices.size());
  if (plan_.devices == 0) return;
  plan_.device = cluster_.node.gpus > 0 ? cluster_.node.gpu : topology_.devices[0].name;
  if (plan_.device.empty()) plan_.device = "GPU";
}

int Planner::CoresPerHost() const {
  if (cluster_.node.cores > 0) return cluster_.node.cores;
  if (!AmongTheHosts() && plan_.allocation.cpus_per_host > 0) return plan_.allocation.cpus_per_host;
  return topology_.cores();
}

bool Planner::OnThisHost() const {
  const std::string& name = plan_.hosts[0];
  return plan_.hosts.size() == 1 && (plan_.allocation.scheduler == Scheduler::kNone || name == "localhost" ||
                                     name == surroundings_.host);
}

absl::Status Planner::LayOut() {
  if (request_.ranks > 0 && request_.mesh_ranks > 0 && request_.ranks != request_.mesh_ranks) {
    return ConfigurationError(
        absl::StrCat("--ranks ", request_.ranks, ": the mesh has ", request_.mesh_ranks,
                     " ranks (parallel.data x tensor x pipeline x sequence); leave --ranks "
                     "out, or change a degree"));
  }
  RankNeeds needs;
  needs.ranks = request_.ranks > 0 ? request_.ranks : request_.mesh_ranks;
  needs.ranks_per_host = request_.ranks_per_host;
  needs.spare_hosts = request_.spare_hosts;
  if (plan_.allocation.ranks_per_host > 0) {
    needs.capacity = plan_.allocation.ranks_per_host;
    needs.capacity_source = plan_.allocation.ranks_source;
  } else if (plan_.devices > 0 && plan_.allocation.scheduler != Scheduler::kNone) {
    // On one's own machine ranks that find no device compute on the processor: that is the run's affair.
    needs.capacity = plan_.devices;
    needs.capacity_source =
        absl::StrCat(plan_.devices, plan_.devices == 1 ? " device" : " devices", " a host");
  }
  const absl::StatusOr<RankLayout> layout = LayOutRanks(needs, static_cast<int>(plan_.hosts.size()));
  if (!layout.ok()) return layout.status();
  plan_.world = layout->ranks();
  plan_.ranks_per_host = layout->ranks_per_host;
  plan_.ranks_source = layout->source;
  plan_.spares.assign(plan_.hosts.begin() + layout->hosts, plan_.hosts.end());
  plan_.hosts.resize(static_cast<size_t>(layout->hosts));
  return absl::OkStatus();
}

// In the job: what is found here stands for all of its hosts. Not on a login node that salloc leaves one on.
bool Planner::AmongTheHosts() const {
  const Scheduler scheduler = plan_.allocation.scheduler;
  if (scheduler != Scheduler::kSlurm && scheduler != Scheduler::kPbs) return true;
  const char* inside = scheduler == Scheduler::kSlurm ? "SLURMD_NODENAME" : "PBS_ENVIRONMENT";
  if (!surroundings_.variable(inside).empty()) return true;
  const auto brief = [](const std::string& host) { return host.substr(0, host.find('.')); };
  return std::any_of(plan_.allocation.hosts.begin(), plan_.allocation.hosts.end(),
                     [&](const Host& host) { return brief(host.name) == brief(surroundings_.host); });
}

void Planner::Bind() {
  if (!request_.bind || !cluster_.launch.bind) return;
  // A machine without a job is shared with whatever else runs there.
  if (plan_.allocation.scheduler == Scheduler::kNone && plan_.devices == 0) return;
  const std::vector<Cores> near_device = cluster_.DeviceCores();
  if (plan_.devices > 0 && !near_device.empty()) {
    plan_.binding = BindToCores(near_device, plan_.ranks_per_host);
  } else if (!AmongTheHosts()) {
    plan_.notes.push_back(
        absl::StrCat(surroundings_.host, " is none of the job's hosts: the launcher binds the ranks"));
    return;
  } else if (cluster_.node.cores == 0 || cluster_.node.cores == topology_.cores()) {
    Topology topology = topology_;
    if (plan_.devices == 0) topology.devices.clear();
    plan_.binding = BindToCores(topology, plan_.ranks_per_host);
  }
  if (plan_.binding.empty()) {
    plan_.notes.push_back(absl::StrCat("ranks are not bound to cores: ", plan_.ranks_per_host, " ranks on ",
                                       plan_.cores, plan_.cores == 1 ? " core" : " cores", " a host"));
  }
}

// What every rank must find in its environment, where the user has not set it: threads, the network.
void Planner::SetEnvironment() {
  const size_t cores = plan_.binding.empty() ? static_cast<size_t>(plan_.cores / plan_.ranks_per_host)
                                             : plan_.binding[0].size();
  std::vector<std::string> wanted = {absl::StrCat("OMP_NUM_THREADS=", std::max<size_t>(1, cores))};
  wanted.insert(wanted.end(), cluster_.launch.environment.begin(), cluster_.launch.environment.end());
  for (const std::string& assignment : wanted) {
    if (surroundings_.variable(NameOf(assignment)).empty()) plan_.environment.push_back(assignment);
  }
}

std::vector<std::string> Planner::Forwarded() const {
  std::set<std::string> names = {"ORTHANT_ATTEMPT"};
  for (const std::string& assignment : plan_.environment) names.insert(NameOf(assignment));
  if (!OnThisHost()) {
    for (const std::string& name : surroundings_.variable_names()) {
      const bool forwarded = std::any_of(std::begin(kForwarded), std::end(kForwarded),
                                         [&](const char* start) { return absl::StartsWith(name, start); });
      if (forwarded || name == "LD_LIBRARY_PATH" || name == "PATH") names.insert(name);
    }
  }
  return {names.begin(), names.end()};
}

void Planner::Compose(const std::string& mpi) {
  LineParts parts;
  parts.plan = &plan_;
  parts.mpi = mpi;
  parts.arguments = cluster_.launch.arguments;
  parts.arguments.insert(parts.arguments.end(), request_.launcher_arguments.begin(),
                         request_.launcher_arguments.end());
  parts.forward = Forwarded();
  parts.crowded = plan_.allocation.cpus_per_host > 0 && plan_.ranks_per_host > plan_.allocation.cpus_per_host;
  parts.bind = request_.bind && cluster_.launch.bind && plan_.ranks_per_host <= plan_.cores;
  parts.this_host_only = OnThisHost();
  parts.command = request_.command;
  if (plan_.starter == RankStarter::kOpenMpi && !plan_.binding.empty()) {
    Cores order;
    for (const Cores& node : topology_.nodes) order.insert(order.end(), node.begin(), node.end());
    const bool as_listed = plan_.devices > 0 && !cluster_.node.device_cores.empty();
    const std::vector<Cores> places = InPlaces(plan_.binding, as_listed ? Cores() : order);
    if (!InOrder(places)) plan_.rank_file = RankFile(plan_, places);
  }
  plan_.command = ComposeLine(parts);
}

absl::StatusOr<LaunchPlan> Planner::Plan() {
  if (absl::Status found = FindHosts(); !found.ok()) return found;
  FindDevices();
  const bool here_only = plan_.allocation.scheduler == Scheduler::kNone;
  const bool asked = request_.ranks > 0 || request_.ranks_per_host > 0 || request_.launcher != "auto";
  if (request_.one_process || (here_only && !asked && !request_.processes)) {
    plan_.hosts.resize(1);
    plan_.world = std::max<int64_t>(1, request_.mesh_ranks);
    plan_.ranks_per_host = static_cast<int>(plan_.world);
    plan_.ranks_source = plan_.world > 1 ? "threads of one process" : "one process";
    if (plan_.world > 1) plan_.devices = 0;  // threads run on the CPU
    if (plan_.devices == 0) plan_.device = "cpu";
    plan_.command = request_.command;
    return plan_;
  }
  if (absl::Status laid = LayOut(); !laid.ok()) return laid;
  const absl::StatusOr<Starter> starter =
      ChooseStarter(request_.launcher != "auto" ? request_.launcher : cluster_.launch.launcher, cluster_,
                    plan_.allocation, surroundings_);
  if (!starter.ok()) return starter.status();
  plan_.starter = starter->kind;
  plan_.program = starter->program;
  plan_.notes.insert(plan_.notes.end(), starter->notes.begin(), starter->notes.end());
  if (plan_.starter == RankStarter::kNone && plan_.hosts.size() > 1) {
    return ConfigurationError(absl::StrCat("--launcher none starts one process on this host, and ",
                                           plan_.world, " ranks are to run on ", plan_.hosts.size(),
                                           " hosts"));
  }
  if (plan_.starter != RankStarter::kNone) {
    Bind();
    SetEnvironment();
  }
  Compose(starter->mpi);
  return plan_;
}

}  // namespace

std::string LaunchPlan::HostOf(int64_t rank) const {
  const size_t index = static_cast<size_t>(rank / std::max(1, ranks_per_host));
  return index < hosts.size() ? hosts[index] : "";
}

absl::StatusOr<LaunchPlan> PlanLaunch(const LaunchRequest& request, const ClusterConfig& cluster,
                                      const Surroundings& surroundings) {
  return Planner(request, cluster, surroundings).Plan();
}

}  // namespace orthant
