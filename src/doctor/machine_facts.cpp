// What a process may use of its machine, from /proc, /sys and the limits that the kernel tells.
#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "doctor/system_files.h"
#include "orthant/doctor/facts.h"

namespace orthant::doctor {
namespace {

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  return name;
}

std::vector<std::string> Resolve(const std::string& host) {
  std::vector<std::string> found;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return found;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    char text[INET6_ADDRSTRLEN] = "";
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0 &&
        std::find(found.begin(), found.end(), text) == found.end()) {
      found.emplace_back(text);
    }
  }
  freeaddrinfo(list);
  return found;
}

std::vector<int> CoresAllowed() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cores;  // a machine of more cores than a cpu_set_t
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

void AddNuma(const std::string& root, MachineFacts* facts) {
  const std::string nodes = root + "/sys/devices/system/node";
  const std::set<int> allowed(facts->cores_allowed.begin(), facts->cores_allowed.end());
  facts->numa_nodes = facts->numa_nodes_allowed = 0;
  for (const int node : ParseCpuList(ReadText(nodes + "/online"))) {
    ++facts->numa_nodes;
    const std::vector<int> cores = ParseCpuList(ReadText(absl::StrCat(nodes, "/node", node, "/cpulist")));
    if (std::any_of(cores.begin(), cores.end(), [&](int core) { return allowed.count(core) > 0; }))
      ++facts->numa_nodes_allowed;
  }
  facts->numa_nodes = std::max(1, facts->numa_nodes);
  facts->numa_nodes_allowed = std::max(1, facts->numa_nodes_allowed);
  facts->numa_balancing = ReadNumber(root + "/proc/sys/kernel/numa_balancing", 0) > 0;
}

// "always [madvise] never": the one in brackets.
std::string Chosen(const std::string& text) {
  const size_t from = text.find('['), to = text.find(']');
  return from == std::string::npos || to == std::string::npos ? "" : text.substr(from + 1, to - from - 1);
}

// The folder of this process's control group, for version 2 ("" as controller) or a controller of version 1.
std::string ControlGroup(const std::string& root, const std::string& controller) {
  for (const absl::string_view line : absl::StrSplit(ReadText(root + "/proc/self/cgroup"), '\n')) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> names = absl::StrSplit(parts[1], ',');
    if (std::find(names.begin(), names.end(), controller) != names.end()) return parts[2];
  }
  return "";
}

// The tightest limit on the way up from the group to the top, from files named `name`; 0: none. Numbers so
// large that they mean none (version 1) are none.
template <typename Read>
void Upwards(const std::string& top, std::string group, const Read& read) {
  while (true) {
    read(top + group);
    if (group.empty() || group == "/") return;
    group = group.substr(0, group.find_last_of('/'));
  }
}

void AddControlGroups(const std::string& root, MachineFacts* facts) {
  const std::string top = root + "/sys/fs/cgroup";
  constexpr int64_t kNone = int64_t{1} << 60;
  const auto memory = [&](const std::string& limit_file, const std::string& used_file) {
    return [=](const std::string& folder) {
      const int64_t limit = ReadNumber(folder + limit_file, 0);
      if (limit <= 0 || limit >= kNone || (facts->memory_limit > 0 && limit >= facts->memory_limit)) return;
      facts->memory_limit = limit;
      facts->memory_limit_used = ReadNumber(folder + used_file, 0);
    };
  };
  const auto quota = [&](double time, double period) {
    if (time <= 0 || period <= 0) return;
    if (facts->core_quota <= 0 || time / period < facts->core_quota) facts->core_quota = time / period;
  };
  Upwards(top, ControlGroup(root, ""), memory("/memory.max", "/memory.current"));
  Upwards(top, ControlGroup(root, ""), [&](const std::string& folder) {
    const std::vector<std::string> words = absl::StrSplit(ReadText(folder + "/cpu.max"), ' ');
    double time = 0, period = 0;
    if (words.size() == 2 && absl::SimpleAtod(words[0], &time) && absl::SimpleAtod(words[1], &period))
      quota(time, period);
  });
  Upwards(top + "/memory", ControlGroup(root, "memory"),
          memory("/memory.limit_in_bytes", "/memory.usage_in_bytes"));
  Upwards(top + "/cpu", ControlGroup(root, "cpu"), [&](const std::string& folder) {
    quota(static_cast<double>(ReadNumber(folder + "/cpu.cfs_quota_us", -1)),
          static_cast<double>(ReadNumber(folder + "/cpu.cfs_period_us", 0)));
  });
}

void AddMemory(const std::string& root, MachineFacts* facts) {
  const std::string memory = ReadText(root + "/proc/meminfo");
  facts->memory_total = std::max<int64_t>(0, NumberAfter(memory, "MemTotal"));
  facts->memory_available = std::max<int64_t>(0, NumberAfter(memory, "MemAvailable"));
  facts->swap_used = std::max<int64_t>(0, NumberAfter(memory, "SwapTotal") - NumberAfter(memory, "SwapFree"));
  struct statvfs shm {};
  if (statvfs((root + "/dev/shm").c_str(), &shm) == 0)
    facts->shm_free = static_cast<int64_t>(shm.f_bavail) * static_cast<int64_t>(shm.f_frsize);
}

int64_t LimitOf(int resource) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return -1;
  return static_cast<int64_t>(limit.rlim_cur);
}

// "model name : ...", or the like of other processors.
std::string CpuModel(const std::string& root) {
  for (const absl::string_view line : absl::StrSplit(ReadText(root + "/proc/cpuinfo"), '\n')) {
    for (const char* key : {"model name", "Model", "cpu model", "CPU part"}) {
      if (!absl::StartsWith(line, key)) continue;
      const size_t colon = line.find(':');
      if (colon != absl::string_view::npos)
        return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    }
  }
  return "";
}

}  // namespace

std::vector<int> ParseCpuList(const std::string& text) {
  std::vector<int> numbers;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    int from = 0, to = 0;
    if (!absl::SimpleAtoi(ends.front(), &from) || !absl::SimpleAtoi(ends.back(), &to)) continue;
    for (int number = from; number <= to; ++number) numbers.push_back(number);
  }
  return numbers;
}

MachineFacts GatherMachineFacts(const std::string& root) {
  MachineFacts facts;
  facts.host = HostName();
  facts.boot = ReadText(root + "/proc/sys/kernel/random/boot_id");
  facts.addresses = Resolve(facts.host);
  for (const std::string& name : NamesIn(root + "/sys/class/net")) {
    const std::string state = ReadText(root + "/sys/class/net/" + name + "/operstate");
    if (name != "lo" && state != "down") facts.interfaces.push_back(name);
  }
  for (const char* folder : {"/sys/class/infiniband", "/sys/class/cxi"}) {
    for (const std::string& name : NamesIn(root + folder)) facts.fabric.push_back(name);
  }
  facts.cpu = CpuModel(root);
  facts.cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const long configured = sysconf(_SC_NPROCESSORS_ONLN);
  if (configured > 0) facts.cores = static_cast<int>(configured);
  facts.cores_allowed = CoresAllowed();
  AddNuma(root, &facts);
  AddControlGroups(root, &facts);
  facts.huge_pages = Chosen(ReadText(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  const std::string frequency = root + "/sys/devices/system/cpu/cpu0/cpufreq";
  facts.governor = ReadText(frequency + "/scaling_governor");
  facts.frequency_driver = ReadText(frequency + "/scaling_driver");
  const std::vector<std::string> load = absl::StrSplit(ReadText(root + "/proc/loadavg"), ' ');
  if (!absl::SimpleAtod(load.front(), &facts.load)) facts.load = 0;
  AddMemory(root, &facts);
  facts.memlock = LimitOf(RLIMIT_MEMLOCK);
  facts.open_files = LimitOf(RLIMIT_NOFILE);
  return facts;
}

}  // namespace orthant::doctor
