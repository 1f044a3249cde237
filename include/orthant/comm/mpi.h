// The `mpi` backend: ranks are processes, tensors lie in main memory. Sums are taken in rank order, as in
// `local`. Nonblocking MPI makes no progress by itself, so asynchronous work runs on one thread per process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/comm/communicator.h"

namespace orthant {

namespace mpi {
class Engine;
class Watchdog;
struct Control;
}  // namespace mpi

struct MpiOptions {
  double timeout_seconds = 600.0;
  // Elements of one MPI call; larger operations are split. MPI counts are `int`.
  int64_t max_count = int64_t{1} << 30;
  // What the members call is compared before data moves (comm.check).
  bool check = false;
  // Groups on one host communicate through memory they share; false: through MPI, as groups that span hosts.
  bool shared_memory = true;
  // Large tensors of ranks on one host lie where the others reach into them, as threads do, which takes
  // LibTorch's CPU allocator over; false: they are copied through the memory that a group shares, as small
  // ones are.
  bool reach_in = true;
  // Bytes that a member stages at a time for the others, twice; 0: what measured best.
  int64_t slot_bytes = 0;
  // What a process calls its host, by its rank; null: as the machine does. For tests that play several hosts
  // on one.
  std::function<std::string(int rank)> host_name = nullptr;
};

// MPI between Init and Finalize. One per process, made and destroyed by the main thread; its communicators
// must be gone before it is.
class MpiRuntime {
 public:
  // Whether a launcher (mpirun, mpiexec, srun with several tasks) started this process, by its environment.
  // Without one MPI is never touched.
  static bool UnderLauncher();

  // EnvironmentError when MPI cannot start or does not support several threads.
  static absl::StatusOr<std::unique_ptr<MpiRuntime>> Start(const MpiOptions& options = {});

  // Finalises. Destroyed by an exception it aborts the job instead: MPI_Finalize would wait for ever for the
  // others.
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int ranks_on_host() const { return ranks_on_host_; }
  int rank_on_host() const { return rank_on_host_; }  // among these
  // The host name of every process, by rank: what the machine calls itself.
  const std::vector<std::string>& hosts() const { return hosts_; }

  // All processes. Collective: called by every process.
  std::unique_ptr<Communicator> World();
  // MPI's own communicator of all processes, in the order of their ranks: for backends beside this one.
  const std::shared_ptr<mpi::Control>& control() const { return base_; }

  // From now on process_of_rank[r] is rank r: in rank(), hosts(), flight records and verdicts, and in every
  // communicator made from now on. Those made before must be gone, and nothing under way. `process_of_rank`:
  // a permutation of the ranks as they are now, the same on every process. Collective.
  void Reorder(const std::vector<int>& process_of_rank);

  // Compares calls from now on, on communicators made from now on.
  void SetCheck(bool check) { options_.check = check; }

  // From now on a thread looks after this process and its neighbours: when an operation misses its deadline,
  // a process dies or Fail is called, all ranks write their records and the job ends with one verdict on
  // stderr and its exit code. Collective, after nothing else has been communicated or at any common point;
  // until the runtime is destroyed. Nothing happens where there is one process.
  void Watch();
  // Where records and verdict go (nowhere when empty), and what ranks are called.
  void SetPlace(std::string flight_folder, DescribeRank describe);
  // An operation of this rank that MPI does not carry missed its deadline (`message` empty), or failed with
  // this message: the watchdogs give the verdict and end the job. Returns after some seconds when that does
  // not come, and at once where nobody watches. Any thread.
  void Report(int code, const std::string& message);
  // This rank cannot go on, while others may be anywhere: ends the job with this message, told once by one of
  // the processes, and this exit code. Flushes the standard streams.
  [[noreturn]] void Fail(int code, const std::string& message);

  // Flushes the standard streams and ends all processes of the job with this exit code.
  [[noreturn]] void Abort(int code);

  const std::shared_ptr<FlightRecorder>& flight_recorder() const { return recorder_; }

 private:
  explicit MpiRuntime(const MpiOptions& options);
  void EndWatch();
  std::shared_ptr<mpi::Engine> NewEngine() const;

  MpiOptions options_;
  int rank_ = 0;
  int size_ = 1;
  int ranks_on_host_ = 1;
  int rank_on_host_ = 0;
  std::vector<std::string> hosts_;
  std::vector<std::string> host_keys_;  // equal where processes may share memory
  int exceptions_at_start_ = 0;
  std::shared_ptr<mpi::Control> base_;  // all processes, in the order of their ranks
  std::shared_ptr<FlightRecorder> recorder_;
  std::shared_ptr<mpi::Engine> engine_;
  std::unique_ptr<mpi::Watchdog> watchdog_;
};

}  // namespace orthant
