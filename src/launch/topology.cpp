#include "orthant/launch/topology.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr int kMostCpus = 1 << 16;

std::string Line(const Surroundings& surroundings, const std::string& path) {
  const absl::StatusOr<std::string> text = surroundings.read_file(path);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

std::set<int> CpusIn(const std::string& text) {
  const absl::StatusOr<Cores> cpus = ParseCores(text);
  return cpus.ok() ? std::set<int>(cpus->begin(), cpus->end()) : std::set<int>();
}

// What the kernel lets this process use.
std::set<int> AllowedCpus(const Surroundings& surroundings) {
  const absl::StatusOr<std::string> status = surroundings.read_file("/proc/self/status");
  if (status.ok()) {
    for (const absl::string_view line : absl::StrSplit(*status, '\n')) {
      absl::string_view rest = line;
      if (!absl::ConsumePrefix(&rest, "Cpus_allowed_list:")) continue;
      return CpusIn(std::string(absl::StripAsciiWhitespace(rest)));
    }
  }
  return CpusIn(Line(surroundings, "/sys/devices/system/cpu/online"));
}

// Whether the CPU is the first allowed one of its core's hardware threads.
bool FirstOfItsCore(const Surroundings& surroundings, int cpu, const std::set<int>& allowed) {
  const std::string threads =
      Line(surroundings, absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"));
  for (const int other : CpusIn(threads)) {
    if (other < cpu && allowed.count(other) != 0) return false;
  }
  return true;
}

// The index of the NUMA node (of `numbers`) that a PCI device hangs on; -1: not known.
int NodeOf(const Surroundings& surroundings, const std::string& pci, const std::vector<int>& numbers) {
  int number = -1;
  if (!absl::SimpleAtoi(Line(surroundings, absl::StrCat("/sys/bus/pci/devices/", pci, "/numa_node")),
                        &number)) {
    return -1;
  }
  const auto found = std::find(numbers.begin(), numbers.end(), number);
  return found == numbers.end() ? -1 : static_cast<int>(found - numbers.begin());
}

// PCI addresses of GPUs: NVIDIA's driver lists its own; of AMD and Intel those that can compute have a render
// node.
std::map<std::string, std::string> Gpus(const Surroundings& surroundings) {
  std::map<std::string, std::string> gpus;
  for (const std::string& pci : surroundings.list_folder("/proc/driver/nvidia/gpus")) {
    gpus[absl::AsciiStrToLower(pci)] = "NVIDIA GPU";
  }
  for (const std::string& pci : surroundings.list_folder("/sys/bus/pci/devices")) {
    const std::string folder = absl::StrCat("/sys/bus/pci/devices/", pci);
    const std::string vendor = Line(surroundings, folder + "/vendor");
    if (vendor != "0x1002" && vendor != "0x8086") continue;
    const std::vector<std::string> nodes = surroundings.list_folder(folder + "/drm");
    const bool renders = std::any_of(nodes.begin(), nodes.end(), [](const std::string& node) {
      return absl::StartsWith(node, "renderD");
    });
    // Class 0x03 is a display: Intel's and AMD's accelerators have 0x0380 or 0x1200, built-in graphics
    // 0x0300.
    const std::string kind = Line(surroundings, folder + "/class");
    const bool accelerator = absl::StartsWith(kind, "0x0380") || absl::StartsWith(kind, "0x1200");
    if (renders && accelerator) gpus[pci] = vendor == "0x1002" ? "AMD GPU" : "Intel GPU";
  }
  return gpus;
}

// `cores` cut into `parts` of one size; what is left over is nobody's.
void Cut(const Cores& cores, const std::vector<int>& ranks, std::vector<Cores>* bound) {
  const size_t each = cores.size() / ranks.size();
  for (size_t i = 0; i < ranks.size(); ++i) {
    const auto begin = cores.begin() + static_cast<std::ptrdiff_t>(i * each);
    (*bound)[static_cast<size_t>(ranks[i])] = Cores(begin, begin + static_cast<std::ptrdiff_t>(each));
  }
}

std::vector<int> Counted(int first, int count) {
  std::vector<int> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

}  // namespace

int Topology::cores() const {
  size_t sum = 0;
  for (const Cores& node : nodes) sum += node.size();
  return static_cast<int>(sum);
}

std::vector<Cores> BindToCores(const Topology& topology, int ranks) {
  const std::vector<Cores>& nodes = topology.nodes;
  const int node_count = static_cast<int>(nodes.size());
  std::vector<Cores> bound(static_cast<size_t>(ranks));
  std::vector<std::vector<int>> on_node(nodes.size());  // ranks
  const bool known = std::all_of(topology.devices.begin(), topology.devices.end(),
                                 [](const Topology::Device& device) { return device.node >= 0; });
  if (!topology.devices.empty() && known) {
    for (int rank = 0; rank < ranks; ++rank) {
      const size_t device = static_cast<size_t>(rank) % topology.devices.size();
      on_node[static_cast<size_t>(topology.devices[device].node)].push_back(rank);
    }
  } else if (node_count > 0 && ranks % node_count == 0) {
    for (int node = 0; node < node_count; ++node) {
      on_node[static_cast<size_t>(node)] = Counted(node * (ranks / node_count), ranks / node_count);
    }
  } else {
    Cores all;
    for (const Cores& node : nodes) all.insert(all.end(), node.begin(), node.end());
    if (static_cast<int>(all.size()) < ranks) return {};
    Cut(all, Counted(0, ranks), &bound);
    return bound;
  }
  for (size_t node = 0; node < nodes.size(); ++node) {
    if (on_node[node].empty()) continue;
    if (nodes[node].size() < on_node[node].size()) return {};
    Cut(nodes[node], on_node[node], &bound);
  }
  return bound;
}

std::vector<Cores> BindToCores(const std::vector<Cores>& near_device, int ranks) {
  Topology topology;
  topology.nodes = near_device;
  for (size_t i = 0; i < near_device.size(); ++i) topology.devices.push_back({"", static_cast<int>(i)});
  return BindToCores(topology, ranks);
}

std::string FormatCores(const Cores& cores) {
  std::string text;
  for (size_t i = 0; i < cores.size();) {
    size_t last = i;
    while (last + 1 < cores.size() && cores[last + 1] == cores[last] + 1) ++last;
    absl::StrAppend(&text, text.empty() ? "" : ",", cores[i]);
    if (last > i) absl::StrAppend(&text, "-", cores[last]);
    i = last + 1;
  }
  return text;
}

absl::StatusOr<Cores> ParseCores(absl::string_view text) {
  Cores cores;
  for (const absl::string_view range : absl::StrSplit(text, ',')) {
    const size_t dash = range.find('-');
    int low = -1, high = -1;
    const bool read =
        absl::SimpleAtoi(range.substr(0, dash), &low) &&
        absl::SimpleAtoi(dash == absl::string_view::npos ? range : range.substr(dash + 1), &high);
    if (!read || low < 0 || high < low || high >= kMostCpus) {
      return ConfigurationError(absl::StrCat("'", text, "' is not a set of cores, as 0-7 or 0-3,8"));
    }
    for (int core = low; core <= high; ++core) cores.push_back(core);
  }
  std::sort(cores.begin(), cores.end());
  cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
  return cores;
}

Topology ReadTopology(const Surroundings& surroundings) {
  const std::set<int> allowed = AllowedCpus(surroundings);
  Cores cores;
  for (const int cpu : allowed) {
    if (FirstOfItsCore(surroundings, cpu, allowed)) cores.push_back(cpu);
  }
  Topology topology;
  std::vector<int> numbers;  // of the NUMA nodes that have cores for us
  const std::string folder = "/sys/devices/system/node";
  std::map<int, std::set<int>> nodes;
  for (const std::string& name : surroundings.list_folder(folder)) {
    int number = 0;
    if (!absl::StartsWith(name, "node") || !absl::SimpleAtoi(name.substr(4), &number)) continue;
    nodes[number] = CpusIn(Line(surroundings, absl::StrCat(folder, "/", name, "/cpulist")));
  }
  for (const auto& [number, cpus] : nodes) {
    Cores mine;
    for (const int core : cores) {
      if (cpus.count(core) != 0) mine.push_back(core);
    }
    if (mine.empty()) continue;
    numbers.push_back(number);
    topology.nodes.push_back(std::move(mine));
  }
  if (topology.cores() != static_cast<int>(cores.size())) {
    numbers.clear();
    topology.nodes = {cores};
  }
  for (const auto& [pci, name] : Gpus(surroundings)) {
    topology.devices.push_back({name, NodeOf(surroundings, pci, numbers)});
  }
  return topology;
}

}  // namespace orthant
