#include "orthant/launch/allocation.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// A positive number in a variable; 0 without one. SLURM writes "8(x2),4" for several hosts: the first counts.
int Number(const Surroundings& surroundings, const char* name) {
  const std::string text = surroundings.variable(name);
  int number = 0;
  return absl::SimpleAtoi(text.substr(0, text.find_first_of("(,")), &number) && number > 0 ? number : 0;
}

// The first of `names` that is set.
std::string FirstSet(const Surroundings& surroundings, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (!surroundings.variable(name).empty()) return name;
  }
  return "";
}

absl::StatusOr<std::vector<Host>> ReadHostFile(const std::string& path, const std::string& named_by,
                                               const Surroundings& surroundings) {
  const absl::StatusOr<std::string> text = surroundings.read_file(path);
  if (!text.ok()) return ConfigurationError(absl::StrCat(named_by, ": ", text.status().message()));
  return ParseHostFile(*text, path);
}

// The slots that all hosts say alike; 0: they say none, or differ.
int CommonSlots(const std::vector<Host>& hosts) {
  const bool alike =
      std::all_of(hosts.begin(), hosts.end(), [&](const Host& host) { return host.slots == hosts[0].slots; });
  return alike ? hosts[0].slots : 0;
}

absl::StatusOr<Allocation> FindSlurm(const Surroundings& surroundings) {
  Allocation found;
  found.scheduler = Scheduler::kSlurm;
  found.job = surroundings.variable(FirstSet(surroundings, {"SLURM_JOB_ID", "SLURM_JOBID"}));
  const std::string name = FirstSet(surroundings, {"SLURM_JOB_NODELIST", "SLURM_NODELIST"});
  if (name.empty()) {
    return EnvironmentError(
        "--scheduler slurm: SLURM_JOB_NODELIST is not set: there is no allocation here; salloc makes one, "
        "orthant submit queues a job");
  }
  const std::string list = surroundings.variable(name);
  const absl::StatusOr<std::vector<std::string>> names = ExpandHostList(list);
  if (!names.ok()) return Annotate(names.status(), name);
  for (const std::string& host : *names) found.hosts.push_back({host, 0});
  found.source = absl::StrCat(name, " = ", list);
  found.ranks_per_host = Number(surroundings, "SLURM_NTASKS_PER_NODE");
  if (found.ranks_per_host > 0) found.ranks_source = "SLURM_NTASKS_PER_NODE";
  found.cpus_per_host = Number(surroundings, "SLURM_CPUS_ON_NODE");  // in the job; of an salloc from outside:
  if (found.cpus_per_host == 0) found.cpus_per_host = Number(surroundings, "SLURM_JOB_CPUS_PER_NODE");
  return found;
}

absl::StatusOr<Allocation> FindPbs(const Surroundings& surroundings) {
  Allocation found;
  found.scheduler = Scheduler::kPbs;
  found.job = surroundings.variable("PBS_JOBID");
  found.host_file = surroundings.variable("PBS_NODEFILE");
  if (found.host_file.empty()) {
    return EnvironmentError(
        "PBS_NODEFILE is not set: there is no PBS job here; qsub -I starts one, orthant submit queues one, "
        "--hostfile FILE names the hosts");
  }
  absl::StatusOr<std::vector<Host>> hosts = ReadHostFile(found.host_file, "PBS_NODEFILE", surroundings);
  if (!hosts.ok()) return hosts.status();
  found.hosts = *std::move(hosts);
  found.source = absl::StrCat("PBS_NODEFILE = ", found.host_file);
  // A host stands once for each of select's mpiprocs, and mpiprocs is 1 where nobody asked for more.
  if (const int slots = CommonSlots(found.hosts); slots > 1) {
    found.ranks_per_host = slots;
    found.ranks_source = "lines of PBS_NODEFILE";
  }
  found.cpus_per_host = Number(surroundings, "NCPUS");
  return found;
}

// Puts the hosts of a file that the user named in place of the scheduler's.
absl::Status TakeHostFile(const std::string& path, const std::string& named_by,
                          const Surroundings& surroundings, Allocation* found) {
  absl::StatusOr<std::vector<Host>> hosts = ReadHostFile(path, named_by, surroundings);
  if (!hosts.ok()) return hosts.status();
  found->hosts = *std::move(hosts);
  found->host_file = path;
  found->source = absl::StrCat(named_by, " = ", path);
  found->ranks_per_host = CommonSlots(found->hosts);
  found->ranks_source = found->ranks_per_host > 0 ? "slots of the host file" : "";
  if (found->scheduler == Scheduler::kNone) found->scheduler = Scheduler::kHostFile;
  return absl::OkStatus();
}

}  // namespace

std::string ToString(Scheduler scheduler) {
  switch (scheduler) {
    case Scheduler::kHostFile:
      return "host file";
    case Scheduler::kSlurm:
      return "slurm";
    case Scheduler::kPbs:
      return "pbs";
    default:
      return "none";
  }
}

absl::StatusOr<Allocation> FindAllocation(const AllocationOptions& options,
                                          const Surroundings& surroundings) {
  const std::string from_user = options.host_file.empty() ? surroundings.variable("ORTHANT_HOSTFILE") : "";
  const std::string host_file = options.host_file.empty() ? from_user : options.host_file;
  std::string scheduler = options.scheduler;
  if (scheduler == "auto") {
    const bool slurm = !FirstSet(surroundings, {"SLURM_JOB_ID", "SLURM_JOBID"}).empty();
    const bool pbs = !FirstSet(surroundings, {"PBS_JOBID", "PBS_NODEFILE"}).empty();
    scheduler = slurm ? "slurm" : pbs ? "pbs" : "none";
  }
  absl::StatusOr<Allocation> found = Allocation{};
  if (scheduler == "slurm") {
    found = FindSlurm(surroundings);
  } else if (scheduler == "pbs" && (host_file.empty() || !surroundings.variable("PBS_NODEFILE").empty())) {
    found = FindPbs(surroundings);
  } else if (scheduler == "pbs") {
    found->scheduler = Scheduler::kPbs;
    found->job = surroundings.variable("PBS_JOBID");
  } else {
    found->hosts = {{surroundings.host, 0}};
    found->source = "this machine";
  }
  if (!found.ok() || host_file.empty()) return found;
  const absl::Status taken =
      TakeHostFile(host_file, from_user.empty() ? "--hostfile" : "ORTHANT_HOSTFILE", surroundings, &*found);
  if (!taken.ok()) return taken;
  return found;
}

}  // namespace orthant
