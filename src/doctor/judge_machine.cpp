// Checks of what each rank may use of its host: cores, threads, memory, limits.
#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "doctor/judging.h"
#include "orthant/core/text.h"

namespace orthant::doctor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kLeastMemory = 512 * kMiB;  // of a rank: LibTorch alone takes about half of it
constexpr int64_t kLeastShared = 64 * kMiB;   // of /dev/shm for a rank
constexpr int64_t kLeastFiles = 1024;

// Cores that the ranks of a host may use together.
double CoresOf(const Survey& survey, const HostGroup& host) {
  std::set<int> cores;
  double quota = 0;
  for (const int rank : host.ranks) {
    const MachineFacts& machine = survey.ranks[static_cast<size_t>(rank)].machine;
    cores.insert(machine.cores_allowed.begin(), machine.cores_allowed.end());
    quota = std::max(quota, machine.core_quota);
  }
  const auto count = static_cast<double>(cores.empty() ? survey.FirstOf(host).machine.cores : cores.size());
  return quota > 0 ? std::min(quota, count) : count;
}

Check RanksPerCore(const Survey& survey) {
  Check check{"ranks per core", State::kOk, "", ""};
  const HostGroup& first = survey.hosts.front();
  check.text = absl::StrFormat("%d rank%s on %.3g usable cores of %s (it has %d)", first.ranks.size(),
                               first.ranks.size() == 1 ? "" : "s", CoresOf(survey, first), first.name,
                               survey.FirstOf(first).machine.cores);
  for (const HostGroup& host : survey.hosts) {
    const double cores = CoresOf(survey, host);
    if (static_cast<double>(host.ranks.size()) <= cores + 1e-9) continue;
    check.state = State::kWarn;
    check.text =
        absl::StrFormat("%d ranks share %.3g usable cores of %s (it has %d): they wait for one another",
                        host.ranks.size(), cores, host.name, survey.FirstOf(host).machine.cores);
    check.remedy =
        "start fewer ranks on a host, or let them have all its cores (mpirun --bind-to none or --map-by with "
        "enough "
        "slots, srun --cpus-per-task; a container's CPU limit)";
    return check;
  }
  const std::vector<Crowded> crowded = CrowdedMachines(survey);
  if (!crowded.empty()) {
    check.state = State::kWarn;
    absl::StrAppend(&check.text,
                    absl::StrFormat("; %d ranks of several hosts share the %.3g cores of one machine",
                                    crowded.front().ranks, crowded.front().cores));
    check.remedy = "fine for tests; nothing that is measured here says much";
  }
  return check;
}

Check Threads(const Survey& survey) {
  Check check{"threads", State::kOk, "", ""};
  const auto& environment = survey.ranks.front().program.environment;
  const auto set = environment.find("OMP_NUM_THREADS");
  if (set == environment.end()) {
    check.text =
        "OMP_NUM_THREADS is not set: a run gives each rank its share of the host's cores "
        "(train.threads_per_rank)";
    return check;
  }
  check.text = absl::StrCat("OMP_NUM_THREADS=", set->second);
  int threads = 0;
  if (!absl::SimpleAtoi(set->second, &threads) || threads < 2) return check;
  for (const HostGroup& host : survey.hosts) {
    const double cores = CoresOf(survey, host);
    const auto wanted = static_cast<double>(threads) * static_cast<double>(host.ranks.size());
    if (wanted <= cores + 1e-9) continue;
    check.state = State::kWarn;
    absl::StrAppend(&check.text, absl::StrFormat(" x %d ranks = %.0f threads on the %.3g usable cores of %s",
                                                 host.ranks.size(), wanted, cores, host.name));
    check.remedy =
        absl::StrFormat("set OMP_NUM_THREADS=%d, or leave it out",
                        std::max(1, static_cast<int>(cores / static_cast<double>(host.ranks.size()))));
    return check;
  }
  return check;
}

Check Numa(const Survey& survey) {
  Check check{"NUMA", State::kOk, "", ""};
  for (const HostGroup& host : survey.hosts) {
    const MachineFacts& machine = survey.FirstOf(host).machine;
    if (check.text.empty())
      check.text = absl::StrCat(machine.numa_nodes, machine.numa_nodes == 1 ? " node" : " nodes");
    const bool spread =
        machine.numa_nodes_allowed > 1 && static_cast<int>(host.ranks.size()) >= machine.numa_nodes;
    if (spread) {
      check.state = State::kWarn;
      check.text = absl::StrCat("each of ", host.ranks.size(), " ranks of ", host.name, " may wander over ",
                                machine.numa_nodes_allowed, " nodes of memory");
      check.remedy = "bind ranks: mpirun --map-by numa --bind-to numa, srun --cpu-bind=ldoms";
      return check;
    }
    if (machine.numa_balancing && machine.numa_nodes > 1) {
      check.state = State::kWarn;
      check.text = absl::StrCat(machine.numa_nodes, " nodes, and the kernel of ", host.name,
                                " moves pages between them (numa_balancing)");
      check.remedy = "bind ranks and turn it off: sysctl kernel.numa_balancing=0";
      return check;
    }
  }
  return check;
}

Check HugePages(const Survey& survey) {
  const MachineFacts& machine = survey.ranks.front().machine;
  if (machine.huge_pages.empty()) return {"huge pages", State::kOk, "the kernel does not say", ""};
  if (machine.huge_pages == "never") {
    return {"huge pages", State::kWarn,
            "transparent huge pages are off (never): large tensors cost more page faults",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, or always"};
  }
  return {"huge pages", State::kOk, "transparent: " + machine.huge_pages, ""};
}

Check CpuFrequency(const Survey& survey) {
  Check check{"CPU frequency", State::kOk, "the kernel does not say (a virtual machine, or fixed)", ""};
  for (const HostGroup& host : survey.hosts) {
    const MachineFacts& machine = survey.FirstOf(host).machine;
    if (machine.governor.empty()) continue;
    check.text = absl::StrCat("governor ", machine.governor, " (", machine.frequency_driver, ")");
    // The drivers that choose by themselves call their normal mode powersave.
    const bool own =
        machine.frequency_driver == "intel_pstate" || machine.frequency_driver == "amd-pstate-epp";
    if ((machine.governor == "powersave" && !own) || machine.governor == "conservative") {
      check.state = State::kWarn;
      absl::StrAppend(&check.text, " on ", host.name, " keeps cores slow");
      check.remedy = "cpupower frequency-set -g performance";
      return check;
    }
  }
  return check;
}

Check Memory(const Survey& survey) {
  Check check{"memory", State::kOk, "", ""};
  const HostGroup* tightest = nullptr;
  int64_t least = 0;
  for (const HostGroup& host : survey.hosts) {
    const MachineFacts& machine = survey.FirstOf(host).machine;
    int64_t usable = machine.memory_available;
    if (machine.memory_limit > 0) usable = std::min(usable, machine.memory_limit - machine.memory_limit_used);
    const int64_t share = usable / static_cast<int64_t>(host.ranks.size());
    if (tightest == nullptr || share < least) {
      tightest = &host;
      least = share;
    }
  }
  const MachineFacts& machine = survey.FirstOf(*tightest).machine;
  check.text =
      absl::StrCat(FormatBinaryBytes(static_cast<double>(machine.memory_available)), " of ",
                   FormatBinaryBytes(static_cast<double>(machine.memory_total)), " free on ", tightest->name);
  if (machine.memory_limit > 0 && machine.memory_limit < machine.memory_total) {
    absl::StrAppend(&check.text, ", limited to ",
                    FormatBinaryBytes(static_cast<double>(machine.memory_limit)), " by its control group");
  }
  absl::StrAppend(&check.text, "; ", FormatBinaryBytes(static_cast<double>(std::max<int64_t>(0, least))),
                  " a rank");
  if (least < kLeastMemory) {
    check.state = State::kWarn;
    check.remedy = "start fewer ranks on the host, end what else runs there, or ask for more (sbatch --mem)";
  }
  return check;
}

Check Limits(const Survey& survey) {
  Check check{"limits", State::kOk, "", ""};
  const auto text = [](int64_t limit, bool bytes) {
    if (limit < 0) return std::string("unlimited");
    return bytes ? FormatBinaryBytes(static_cast<double>(limit)) : FormatCount(limit);
  };
  const MachineFacts& first = survey.ranks.front().machine;
  check.text = absl::StrCat("locked memory ", text(first.memlock, true), ", open files ",
                            text(first.open_files, false));
  for (const HostGroup& host : survey.hosts) {
    const MachineFacts& machine = survey.FirstOf(host).machine;
    if (machine.memlock >= 0 && !machine.fabric.empty()) {
      return {check.name, State::kWarn,
              absl::StrCat("locked memory is limited to ", text(machine.memlock, true), " on ", host.name,
                           ", and its ", ListNames(machine.fabric), " wants to lock buffers"),
              "ulimit -l unlimited (memlock in /etc/security/limits.conf; LimitMEMLOCK of slurmd's unit)"};
    }
    if (machine.open_files >= 0 && machine.open_files < kLeastFiles) {
      return {check.name, State::kWarn,
              absl::StrCat("open files are limited to ", machine.open_files, " on ", host.name),
              "ulimit -n 4096"};
    }
  }
  return check;
}

Check SharedMemory(const Survey& survey) {
  Check check{"shared memory", State::kOk, "", ""};
  for (const HostGroup& host : survey.hosts) {
    const int64_t free = survey.FirstOf(host).machine.shm_free;
    if (check.text.empty() && free >= 0)
      check.text =
          absl::StrCat(FormatBinaryBytes(static_cast<double>(free)), " free in /dev/shm of ", host.name);
    if (host.ranks.size() < 2 || free >= kLeastShared * static_cast<int64_t>(host.ranks.size())) continue;
    check.state = State::kWarn;
    check.text = free < 0
                     ? absl::StrCat("there is no /dev/shm on ", host.name)
                     : absl::StrCat(FormatBinaryBytes(static_cast<double>(free)), " free in /dev/shm of ",
                                    host.name, " for ", host.ranks.size(), " ranks");
    check.remedy = "ranks of a host exchange data there: mount it larger (docker run --shm-size=8g)";
    return check;
  }
  if (check.text.empty()) check.text = "there is no /dev/shm, and one rank needs none";
  return check;
}

}  // namespace

void JudgeMachine(const Survey& survey, std::vector<Check>* checks) {
  for (const auto judge :
       {RanksPerCore, Threads, Numa, HugePages, CpuFrequency, Memory, Limits, SharedMemory}) {
    checks->push_back(judge(survey));
  }
}

}  // namespace orthant::doctor
