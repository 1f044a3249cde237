// A machine in SI units: the facts of a cluster file, and the calibration of the software on it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "orthant/launch/cluster_config.h"
#include "orthant/plan/calibration.h"

namespace orthant {

struct Machine {
  std::string name;
  std::string device;
  int64_t node_ranks = 1;        // devices of a node
  double peak = 1;               // FLOP/s of a device, 16-bit
  int64_t multiprocessors = 0;   // 0: tiles are not counted
  double memory_bytes = 0;       // of a device; 0: no limit
  double memory_bandwidth = 1;   // bytes/s
  double node_bandwidth = 1;     // bytes/s of a device in the node, one way
  double network_bandwidth = 0;  // bytes/s of a node, one way; 0: there is one node
  double host_bandwidth = 0;     // bytes/s between device and host
  Calibration calibration;

  const Software& software() const { return calibration.software; }
  const Constants& constants() const { return calibration.constants; }
  double MemoryRate() const { return memory_bandwidth * constants().memory; }
  double NetworkRate() const { return network_bandwidth * constants().network; }  // of a node
  double NodeRate() const { return node_bandwidth * constants().node_link; }      // of a device
  // Whether the machine's file says enough for so many ranks: more than a node of them want a network.
  bool HasNodesFor(int64_t ranks) const { return ranks <= node_ranks || network_bandwidth > 0; }
  // Bytes that a rank's tensors may take; 0: no limit.
  double Capacity() const { return memory_bytes > 0 ? memory_bytes - software().reserve : 0; }
};

// The machine of --cluster `name` (FindCluster, which has `given` too) with its calibration.
// ConfigurationError: no such cluster or calibration, facts that a plan needs are missing (names the keys).
absl::StatusOr<Machine> LoadMachine(const std::string& name, const std::string& self,
                                    const std::string& given = "--cluster ");

}  // namespace orthant
