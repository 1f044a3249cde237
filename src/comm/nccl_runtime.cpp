#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "comm/mpi_communicator.h"
#include "comm/mpi_letters.h"
#include "comm/nccl_communicator.h"
#include "orthant/comm/nccl.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr int kOldest = 22200;  // 2.22: communicators are aborted together

// 2.9 and later count as major * 10000 + minor * 100 + patch.
std::string VersionText(int code) {
  return absl::StrFormat("%d.%d.%d", code / 10000, code / 100 % 100, code % 100);
}

}  // namespace

absl::StatusOr<std::unique_ptr<NcclRuntime>> NcclRuntime::Create(MpiRuntime& mpi, const NcclTable& nccl,
                                                                 const DeviceTable& device,
                                                                 const NcclOptions& options) {
  // Connections when a communicator is made, not at the first operation of each kind: that would hold up a
  // rank's thread in an asynchronous operation until the others call it. Read by NCCL when it starts.
  setenv("NCCL_RUNTIME_CONNECT", "0", /*overwrite=*/0);
  int code = 0;
  if (const NcclResult result = nccl.get_version(nccl.self, &code); result != NcclResult::kSuccess) {
    return EnvironmentError(absl::StrCat("NCCL does not start: ", nccl.get_error_string(nccl.self, result)));
  }
  if (code < kOldest) {
    return EnvironmentError(absl::StrCat("NCCL ", VersionText(code), " is too old: ", VersionText(kOldest),
                                         " or later is needed (communicators that are aborted together)"));
  }
  try {
    auto context = std::make_shared<nccl::Context>(
        nccl, device, mpi.flight_recorder(), std::make_unique<mpi::MpiLetters>(mpi.control()->comm),
        [&mpi](const std::string& message) {
          mpi.Report(static_cast<int>(ExitCode::kCommunication), message);
        },
        options.poll_seconds);
    return std::unique_ptr<NcclRuntime>(new NcclRuntime(&mpi, std::move(context), code, options));
  } catch (const CommError& error) {
    return EnvironmentError(
        absl::StrCat("the device of rank ", mpi.rank(), " cannot be used: ", error.what()));
  }
}

NcclRuntime::NcclRuntime(MpiRuntime* mpi, std::shared_ptr<nccl::Context> context, int version,
                         const NcclOptions& options)
    : mpi_(mpi), context_(std::move(context)), version_(version), options_(options) {}

NcclRuntime::~NcclRuntime() = default;

std::unique_ptr<Communicator> NcclRuntime::World() {
  return std::make_unique<nccl::NcclCommunicator>(context_, mpi_->World(), options_.check);
}

std::string NcclRuntime::version() const {
  return VersionText(version_);
}

std::string NcclVersion() {
  const NcclTable* const nccl = RealNcclTable();
  int code = 0;
  if (nccl == nullptr || nccl->get_version(nccl->self, &code) != NcclResult::kSuccess) return "";
  return VersionText(code);
}

}  // namespace orthant
