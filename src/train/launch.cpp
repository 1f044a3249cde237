#include "orthant/train/launch.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "orthant/comm/local.h"
#include "orthant/comm/mpi.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"
#include "orthant/train/broadcast_text.h"

namespace orthant {
namespace {

int HostCores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int ThreadsFor(int configured, int ranks_on_host) {
  return configured > 0 ? configured : std::max(1, HostCores() / ranks_on_host);
}

// What an exception that left a rank means to the user. The exceptions of the loop are few, and each has its
// kind.
absl::Status StatusOf(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const StatusError& e) {
    return e.status();
  } catch (const CommError& e) {
    return CommunicationError(e.what());
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

// The message of the lowest rank that failed, whole on rank 0 and empty elsewhere.
absl::Status AgreeOver(Communicator& world, const absl::Status& status) {
  at::Tensor failed = at::full({1}, status.ok() ? world.size() : world.rank(), at::kLong);
  world.AllReduce(failed, ReduceOp::kMin, "agree");
  const int64_t first = failed.item<int64_t>();
  if (first == world.size()) return absl::OkStatus();
  const int root = static_cast<int>(first);
  at::Tensor code = at::full({1}, static_cast<int64_t>(ExitCodeOf(status)), at::kLong);
  world.Broadcast(code, root, "agree.code");
  const std::string message = BroadcastText(std::string(status.message()), root, world);
  return StatusWithExitCode(static_cast<ExitCode>(code.item<int64_t>()), world.rank() == 0 ? message : "");
}

}  // namespace

struct Launcher::Processes {
  explicit Processes(std::unique_ptr<MpiRuntime> started)
      : runtime(std::move(started)), world(runtime->World()) {}
  std::unique_ptr<MpiRuntime> runtime;
  std::unique_ptr<Communicator> world;  // before the runtime ends
};

Launcher::Launcher(std::unique_ptr<Processes> processes) : processes_(std::move(processes)) {}

absl::StatusOr<std::unique_ptr<Launcher>> Launcher::Start(double timeout_seconds) {
  std::unique_ptr<Processes> processes;
  if (MpiRuntime::UnderLauncher()) {
    MpiOptions options;
    options.timeout_seconds = timeout_seconds;
    auto runtime = MpiRuntime::Start(options);
    if (!runtime.ok()) return runtime.status();
    processes = std::make_unique<Processes>(*std::move(runtime));
  }
  return std::unique_ptr<Launcher>(new Launcher(std::move(processes)));
}

Launcher::~Launcher() = default;

bool Launcher::first() const {
  return processes_ == nullptr || processes_->world->rank() == 0;
}

absl::Status Launcher::Agree(const absl::Status& status) {
  return processes_ == nullptr ? status : AgreeOver(*processes_->world, status);
}

absl::Status Launcher::Run(const CommConfig& config, int64_t ranks, int threads_per_rank,
                           const RankBody& body, const RunPlace& place) {
  { const BindMemory install(nullptr); }  // the accounting allocator, before there are threads
  if (processes_ == nullptr) {
    if (config.backend != "mpi") return RunThreads(config, ranks, threads_per_rank, body);
    return EnvironmentError(
        absl::StrCat("comm.backend = mpi needs an MPI launcher: mpirun -n ", ranks,
                     " orthant ...; without one, comm.backend = auto runs the ranks as threads"));
  }
  const int processes = processes_->world->size();
  if (config.backend == "local") {
    return Agree(EnvironmentError(
        absl::StrCat("comm.backend = local runs all ranks in one process, but a launcher started ", processes,
                     "; start one process, or use comm.backend = auto")));
  }
  if (processes != ranks) {
    return Agree(EnvironmentError(
        absl::StrCat("the mesh has ", ranks,
                     " ranks (parallel.data x tensor x pipeline x sequence), but the launcher started ",
                     processes, " processes; start ", ranks, ", or change a degree")));
  }
  return RunProcess(config, ranks, threads_per_rank, body);
}

absl::Status Launcher::RunThreads(const CommConfig& config, int64_t ranks, int threads_per_rank,
                                  const RankBody& body) {
  RankEnvironment environment;
  environment.ranks_on_host = environment.ranks_in_process = static_cast<int>(ranks);
  environment.threads = ThreadsFor(threads_per_rank, environment.ranks_on_host);
  environment.backend = "local";
  const LocalOptions options{.timeout_seconds = config.timeout, .threads_per_rank = environment.threads};
  try {
    RunLocal(static_cast<int>(ranks), options, [&](Communicator& world) {
      const absl::Status status = body(world, environment);
      if (!status.ok()) throw StatusError(status);
    });
  } catch (...) {
    return StatusOf(std::current_exception());
  }
  return absl::OkStatus();
}

absl::Status Launcher::RunProcess(const CommConfig& config, int64_t ranks, int threads_per_rank,
                                  const RankBody& body) {
  RankEnvironment environment;
  environment.ranks_on_host = processes_->runtime->ranks_on_host();
  environment.threads = ThreadsFor(threads_per_rank, environment.ranks_on_host);
  environment.backend = "mpi";
  at::set_num_threads(environment.threads);
  absl::Status status;
  try {
    status = body(*processes_->world, environment);
  } catch (...) {
    status = StatusOf(std::current_exception());
  }
  // A status that every rank returns alike (a loss that is not finite) is agreed on; a failure of one rank
  // leaves the others inside a collective, so the process that has the reason tells it and ends all.
  if (status.ok() || ExitCodeOf(status) == ExitCode::kNumerical) return Agree(status);
  EndAll(status);
}

void Launcher::EndAll(const absl::Status& status) {
  const int rank = processes_->world->rank();
  // When all ranks fail alike (a deadline), the first one speaks for all.
  if (rank != 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::fprintf(stderr, "error: rank %d: %s\n", rank, std::string(status.message()).c_str());
  processes_->runtime->Abort(static_cast<int>(ExitCodeOf(status)));
}

}  // namespace orthant
