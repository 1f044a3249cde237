// The `mpi` backend: ranks are processes, tensors lie in main memory. Sums are taken in rank order, as in
// `local`. Nonblocking MPI makes no progress by itself, so asynchronous work runs on one thread per process.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "orthant/comm/communicator.h"

namespace orthant {

namespace mpi {
class Engine;
}

struct MpiOptions {
  double timeout_seconds = 600.0;
  // Elements of one MPI call; larger operations are split. MPI counts are `int`.
  int64_t max_count = int64_t{1} << 30;
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

  // All processes. Collective: called by every process, once.
  std::unique_ptr<Communicator> World();

  // Flushes the standard streams and ends all processes of the job with this exit code.
  [[noreturn]] void Abort(int code);

  const std::shared_ptr<FlightRecorder>& flight_recorder() const { return recorder_; }

 private:
  explicit MpiRuntime(const MpiOptions& options);

  MpiOptions options_;
  int rank_ = 0;
  int size_ = 1;
  int ranks_on_host_ = 1;
  int exceptions_at_start_ = 0;
  std::shared_ptr<FlightRecorder> recorder_;
  std::shared_ptr<mpi::Engine> engine_;
};

}  // namespace orthant
