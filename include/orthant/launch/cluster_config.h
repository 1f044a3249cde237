// A cluster's facts, from configs/clusters/NAME.yaml: scheduler, launcher, what a node has, what the network
// wants, what a batch script needs. Read with the mechanism of `config`; docs/clusters.md is generated from
// it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/config/config.h"
#include "orthant/config/fields.h"
#include "orthant/launch/topology.h"

namespace orthant {

struct ClusterConfig {
  std::string name;
  std::string scheduler = "auto";  // auto, slurm, pbs, none
  bool tried = false;              // on the machine itself

  struct Node {
    int gpus = 0;
    std::string gpu;
    int64_t gpu_memory = 0;
    int cores = 0;
    int threads_per_core = 1;
    int64_t memory = 0;
    std::vector<std::string> device_cores;  // "24-31": near each device, in the devices' order
    int nics = 0;
    std::string nic;
  } node;

  struct Launch {
    std::string launcher = "auto";  // auto, srun, openmpi, pals, mpich, none
    std::string program;            // "": the launcher's usual name
    std::string mpi;                // srun --mpi=; "": what `srun --mpi=list` offers
    bool bind = true;
    std::vector<std::string> arguments;    // of the launcher
    std::vector<std::string> environment;  // NAME=VALUE
  } launch;

  struct Submit {
    std::string account, queue;
    std::string select;                // of PBS: further parts of a chunk
    std::vector<std::string> options;  // further #SBATCH or #PBS lines, without their beginning
    std::vector<std::string> setup;    // shell lines before the work: modules
    std::vector<std::string> queues;   // "NAME nodes=1-2 time=1:00:00"
  } submit;

  // What `orthant plan` reckons with (docs/planning.md); 0: not known.
  struct Performance {
    double peak_tflops = 0;            // of a device, 16-bit, dense
    int multiprocessors = 0;           // over which a product's tiles are spread
    double memory_bandwidth = 0;       // GB/s of a device
    double node_bandwidth = 0;         // GB/s of a device to the others of its node, one way
    double network_bandwidth = 0;      // GB/s of a node to the others, one way
    double host_bandwidth = 0;         // GB/s between a device and its host's memory, one way
    std::string calibration;           // a file of configs/calibrations, or a path
    std::vector<std::string> related;  // clusters that rows which this one's facts do not fit are from
  } performance;

  // node.device_cores, read; CheckCluster has passed them.
  std::vector<Cores> DeviceCores() const;
};

void Describe(Fields& fields, ClusterConfig& config);

// The file, checked. ConfigurationError as LoadConfig gives it, and for values that cannot be: cores that are
// no set, environment without '=', a queue that cannot be read.
absl::StatusOr<ClusterConfig> LoadCluster(const std::string& path);
absl::Status CheckCluster(const ClusterConfig& config);

// docs/clusters.md
std::string ClusterReference();

// A file of the project that may stand in several places: `below` is its path, as
// "configs/clusters/slurm.yaml". Looked for in the current folder, then in the source tree or the
// installation that the binary `self` lies in.
// "" when it is in none of them.
std::string FindShared(const std::string& below, const std::string& self);
// Folders of that kind that are there.
std::vector<std::string> SharedFolders(const std::string& below, const std::string& self);

// The file of a cluster: `name` is a path (with '/' or ".yaml") or the name of a file in configs/clusters.
// ConfigurationError names the ones there are, and begins with `given`: where the name stood.
absl::StatusOr<std::string> FindCluster(const std::string& name, const std::string& self,
                                        const std::string& given = "--cluster ");

}  // namespace orthant
