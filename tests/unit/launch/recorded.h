// Recorded machines: an environment, files and programs that a test hands to the launcher instead of the real
// ones.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "orthant/core/status.h"
#include "orthant/launch/surroundings.h"

namespace orthant::testing {

struct Recorded {
  std::string host = "login1";
  std::map<std::string, std::string> variables;
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> programs;  // on PATH -> what they print, whatever they are asked

  // The recording must outlive what is made from it.
  Surroundings See() const {
    Surroundings seen;
    seen.host = host;
    seen.variable = [this](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? "" : found->second;
    };
    seen.variable_names = [this] {
      std::vector<std::string> names;
      for (const auto& [name, value] : variables) names.push_back(name);
      return names;
    };
    seen.read_file = [this](const std::string& path) -> absl::StatusOr<std::string> {
      const auto found = files.find(path);
      if (found == files.end()) return DataError(path + ": there is no such file");
      return found->second;
    };
    seen.list_folder = [this](const std::string& path) {
      std::vector<std::string> names;
      for (const auto& [file, text] : files) {
        if (!absl::StartsWith(file, path + "/")) continue;
        const std::string name =
            file.substr(path.size() + 1, file.find('/', path.size() + 1) - path.size() - 1);
        if (names.empty() || names.back() != name) names.push_back(name);
      }
      return names;
    };
    seen.has_program = [this](const std::string& program) { return programs.count(program) != 0; };
    seen.output_of = [this](const std::vector<std::string>& command) {
      const auto found = programs.find(command[0]);
      return found == programs.end() ? "" : found->second;
    };
    return seen;
  }

  // `nodes` NUMA nodes of `each` cores, numbered through, hardware threads numbered behind all cores.
  void AddCores(int nodes, int each, int threads = 1) {
    const int cores = nodes * each;
    files["/proc/self/status"] =
        "Name:\torthant\nCpus_allowed_list:\t0-" + std::to_string(cores * threads - 1) + "\n";
    for (int node = 0; node < nodes; ++node) {
      std::string list;
      for (int thread = 0; thread < threads; ++thread) {
        const int first = thread * cores + node * each;
        list += (list.empty() ? "" : ",") + std::to_string(first) + "-" + std::to_string(first + each - 1);
      }
      files["/sys/devices/system/node/node" + std::to_string(node) + "/cpulist"] = list + "\n";
    }
    for (int cpu = 0; cpu < cores * threads; ++cpu) {
      std::string siblings;
      for (int thread = 0; thread < threads; ++thread) {
        siblings += (siblings.empty() ? "" : ",") + std::to_string(cpu % cores + thread * cores);
      }
      files["/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list"] =
          siblings + "\n";
    }
  }
  // A GPU of NVIDIA's at this PCI address, on this NUMA node.
  void AddGpu(const std::string& pci, int node) {
    files["/proc/driver/nvidia/gpus/" + pci + "/information"] = "Model: NVIDIA A100-SXM4-40GB\n";
    files["/sys/bus/pci/devices/" + pci + "/numa_node"] = std::to_string(node) + "\n";
  }
};

inline constexpr const char* kOpenMpiVersion = "mpirun (Open MPI) 4.1.4\n";
inline constexpr const char* kPalsVersion = "PALS mpiexec 1.2.12\n";

}  // namespace orthant::testing
