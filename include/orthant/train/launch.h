// Where a run's ranks come from: threads of this process, or processes under an MPI launcher. What runs on
// them is the same.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "c10/core/Device.h"
#include "orthant/comm/comm_config.h"
#include "orthant/comm/communicator.h"
#include "orthant/core/status.h"

namespace orthant {

// What a rank is told beside its communicator.
struct RankEnvironment {
  // The name of each rank's host, by rank; empty where ranks are threads of one process.
  std::vector<std::string> hosts;
  int ranks_on_host = 1;                      // sharing these cores
  int ranks_in_process = 1;                   // sharing this address space
  int threads = 1;                            // of this rank's kernels; already set
  const char* backend = "";                   // "local", "mpi" or "nccl"
  c10::Device device = c10::DeviceType::CPU;  // that this rank computes on; already the thread's
  std::string device_name;                    // of a GPU
};

// What verdicts know of a run beside its operations. Without a folder nothing is written.
struct RunPlace {
  std::string flight_folder;  // RUN_DIR/flight; what an earlier run left there is removed
  DescribeRank describe;      // as Mesh::Describe; used by any thread, after Run's caller is stuck too
};

// Which process is to be which rank, from the host name of each process: a permutation that leaves process 0
// where it is (PlaceByHost).
using OrderRanks = std::function<std::vector<int>(const std::vector<std::string>& hosts)>;

using RankBody = std::function<absl::Status(Communicator& world, const RankEnvironment& environment)>;

// One a process, made by main's thread before anything that may fail, so that a failure on one process
// reaches the user once and ends all of them.
class Launcher {
 public:
  // Joins the other processes when an MPI launcher started this one; else nothing happens. `timeout_seconds`:
  // how long an operation between processes may wait. EnvironmentError when MPI cannot start.
  static absl::StatusOr<std::unique_ptr<Launcher>> Start(double timeout_seconds);
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // True on the process that speaks to the user.
  bool first() const;
  // Whether an MPI launcher started this process.
  bool launched() const { return processes_ != nullptr; }
  // That an MPI launcher started; 0 without one.
  int processes() const;

  // The first failure among all processes' statuses: whole on the first process, with an empty message on the
  // others (nothing more to print). OK when all are. Collective over processes.
  absl::Status Agree(const absl::Status& status);

  // What the ranks of later runs compute on (train.device); cpu unless called.
  void ComputeOn(const std::string& device) { device_ = device; }

  // Runs body on `ranks` ranks and returns the run's one status, as Agree does. EnvironmentError when an MPI
  // launcher started another number of processes, or comm.backend or `device` (train.device) cannot be had
  // here. `threads_per_rank` 0: the host's cores shared among its ranks. `order`: asked once, where ranks are
  // processes; none: as launched.
  absl::Status Run(const CommConfig& config, int64_t ranks, int threads_per_rank, const RankBody& body,
                   const RunPlace& place = {}, const OrderRanks& order = nullptr);

 private:
  struct Processes;  // the MPI side
  explicit Launcher(std::unique_ptr<Processes> processes);
  absl::Status RunThreads(const CommConfig& config, int64_t ranks, int threads_per_rank, const RankBody& body,
                          const RunPlace& place);
  absl::Status RunProcess(const CommConfig& config, int64_t ranks, int threads_per_rank, const RankBody& body,
                          const RunPlace& place);
  // The communicator of all processes for a run: over NCCL where ranks compute on GPUs.
  absl::Status MakeWorld(const CommConfig& config, bool gpu);
  void Reorder(const OrderRanks& order);

  std::unique_ptr<Processes> processes_;  // null when this is the only process
  std::string device_ = "cpu";
};

}  // namespace orthant
