// What one rank can say of its program and its machine without measuring. Gathered on every rank, travels as
// JSON to the rank that judges (judge.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "orthant/doctor/devices.h"

namespace orthant::doctor {

// The program: libraries in use.
struct ProgramFacts {
  std::map<std::string, std::string> versions;  // "LibTorch": "2.11.0", "kernel": ..., what is known of each
  std::string mpi;               // MPI_Get_library_version's first words; "" when MPI is not started
  std::string mpi_thread_level;  // "multiple", ...; "" as above
  std::vector<std::string> mpi_components;          // of OpenMPI: "pml/ob1", "btl/tcp", ... that are loaded
  std::map<std::string, std::string> mpi_settings;  // OpenMPI's variables pml, btl, mtl where set, by MPI_T
  // Files mapped into the process, one a library; two of a kind are trouble.
  std::vector<std::string> openmp_files, mpi_files, torch_files;
  std::map<std::string, std::string>
      environment;  // OMP_*, NCCL_*, OMPI_MCA_*, UCX_*, FI_*, CUDA_VISIBLE_DEVICES
};

// The machine, as this process may use it.
struct MachineFacts {
  std::string host;  // its name
  std::string boot;  // of the running kernel: equal for containers and namespaces of one machine
  std::vector<std::string> addresses;   // what the name resolves to; empty: it does not
  std::vector<std::string> interfaces;  // of the network that are up, but lo
  std::vector<std::string> fabric;      // InfiniBand, RoCE and Slingshot devices
  std::string cpu;                      // model
  int cores = 1;                   // of the host, as the scheduler counts them (threads of the processor)
  std::vector<int> cores_allowed;  // this process may run on
  double core_quota = 0;           // cores' worth of time its cgroup grants; 0: no limit
  int numa_nodes = 1;
  int numa_nodes_allowed = 1;  // among which its cores lie
  bool numa_balancing = false;
  std::string huge_pages;  // transparent: "always", "madvise", "never"; "" not known
  std::string governor;    // of the CPU's frequency; "" not known
  std::string frequency_driver;
  double load = 0;  // processes that wanted to run in the last minute, on average
  int64_t memory_total = 0, memory_available = 0, memory_limit = 0;  // bytes; limit of its cgroup, 0: none
  int64_t memory_limit_used = 0;
  int64_t swap_used = 0;
  int64_t shm_free = -1;                  // of /dev/shm; -1: there is none
  int64_t memlock = -1, open_files = -1;  // limits: -1: none
};

struct RankFacts {
  int rank = 0;
  int64_t pid = 0;
  ProgramFacts program;
  MachineFacts machine;
  DeviceFacts devices;
  // Measured later (measure.h); 0: not.
  double core_flops = 0;  // of one fp32 matrix product on one core, by the time that the core gave us
  double core_share = 0;  // the part of the time that we had the core
  double copy_bytes = 0;  // a second, of memory to memory
};

// Of a folder's disk, seen from one host.
struct DiskSpeed {
  double write = 0, read = 0;  // bytes a second; 0: not measured
  bool direct = false;         // past the page cache (O_DIRECT)
  std::string error;           // why not
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProgramFacts, versions, mpi, mpi_thread_level, mpi_components,
                                   mpi_settings, openmp_files, mpi_files, torch_files, environment)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MachineFacts, host, boot, addresses, interfaces, fabric, cpu, cores,
                                   cores_allowed, core_quota, numa_nodes, numa_nodes_allowed, numa_balancing,
                                   huge_pages, governor, frequency_driver, load, memory_total,
                                   memory_available, memory_limit, memory_limit_used, swap_used, shm_free,
                                   memlock, open_files)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RankFacts, rank, pid, program, machine, devices, core_flops, core_share,
                                   copy_bytes)

// Of this process. `root` stands before every path of /proc, /sys and /dev, for tests. MPI is asked only
// while it runs.
ProgramFacts GatherProgramFacts(const std::string& root = "");
MachineFacts GatherMachineFacts(const std::string& root = "");

// The distinct files of /proc/PID/maps whose name is one of `libraries` ("libmpi"), with any version or hash
// behind it: "libmpi.so.40", "libgomp-a34b3233.so.1". In the order of the text.
std::vector<std::string> MappedLibraries(const std::string& maps, const std::vector<std::string>& libraries);

// OpenMPI's loaded components by their files: ".../mca_btl_tcp.so" is "btl/tcp"; of the kinds named.
std::vector<std::string> MpiComponents(const std::string& maps, const std::vector<std::string>& kinds);

// "0-3,8" as numbers: the kernel's lists.
std::vector<int> ParseCpuList(const std::string& text);

}  // namespace orthant::doctor
