// A host's cores and devices by NUMA node, and which cores each of its ranks is bound to: those near its
// device. Pure, but for reading /sys through Surroundings.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orthant/launch/surroundings.h"

namespace orthant {

using Cores = std::vector<int>;  // numbers of logical CPUs, one a core, ascending

struct Topology {
  struct Device {
    std::string name;
    int node = -1;  // index into `nodes`; -1: not known
  };
  std::vector<Cores> nodes;     // NUMA nodes
  std::vector<Device> devices;  // in the order in which their runtime numbers them

  int cores() const;
};

// For each of a host's ranks its cores. Rank i uses device i (modulo their number) and shares the cores of
// that device's NUMA node with the node's other ranks, in equal parts. Without devices all cores are shared
// in equal parts, which lie within a NUMA node where the ranks divide over the nodes. {}: there are fewer
// cores than ranks.
std::vector<Cores> BindToCores(const Topology& topology, int ranks);
// The same where a cluster file lists the cores near each device; {} when a device has fewer cores than
// ranks.
std::vector<Cores> BindToCores(const std::vector<Cores>& near_device, int ranks);

// As Linux writes sets of CPUs: "0-3,8". Parsing: ConfigurationError.
std::string FormatCores(const Cores& cores);
absl::StatusOr<Cores> ParseCores(absl::string_view text);

// Of this machine: the cores that this process may use, and GPUs of NVIDIA, AMD and Intel (in the order of
// their PCI addresses, as CUDA has them with CUDA_DEVICE_ORDER=PCI_BUS_ID). Where /sys shows no NUMA nodes,
// all cores are one node.
Topology ReadTopology(const Surroundings& surroundings);

}  // namespace orthant
