// The `nccl` backend: ranks are processes with a device each. Tensors on the device go over NCCL, in streams
// of their own; tensors in main memory and everything between hosts go over MPI.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "orthant/comm/communicator.h"
#include "orthant/comm/mpi.h"

namespace orthant {

namespace nccl {
class Context;
}

struct NcclTable;    // src/comm/nccl_table.h
struct DeviceTable;  // src/comm/device_table.h

// Of the libraries that this build is linked with. Null in a build without CUDA (preset `cuda`).
const NcclTable* RealNcclTable();
const DeviceTable* RealDeviceTable();
// Of the NCCL that this build is linked with, "2.28.9"; empty without one.
std::string NcclVersion();

struct NcclOptions {
  // Members compare what they call before a collective is issued (comm.check).
  bool check = false;
  // Seconds between two looks of the watchdog.
  double poll_seconds = 0.05;
};

// NCCL on the calling thread's current device, beside an MPI runtime. One per process; the thread that makes
// it is the rank's thread, which alone uses its communicators. They must be gone before it is, and it before
// the MPI runtime. The tables must outlive it.
class NcclRuntime {
 public:
  // EnvironmentError when NCCL or the device cannot be used.
  static absl::StatusOr<std::unique_ptr<NcclRuntime>> Create(MpiRuntime& mpi, const NcclTable& nccl,
                                                             const DeviceTable& device,
                                                             const NcclOptions& options = {});
  ~NcclRuntime();
  NcclRuntime(const NcclRuntime&) = delete;
  NcclRuntime& operator=(const NcclRuntime&) = delete;

  // All processes. Collective: called by every process. CommError when the communicator cannot be made within
  // the deadline.
  std::unique_ptr<Communicator> World();

  std::string version() const;  // of the library, "2.28.9"

 private:
  NcclRuntime(MpiRuntime* mpi, std::shared_ptr<nccl::Context> context, int version,
              const NcclOptions& options);

  MpiRuntime* mpi_;
  std::shared_ptr<nccl::Context> context_;
  int version_;
  NcclOptions options_;
};

}  // namespace orthant
