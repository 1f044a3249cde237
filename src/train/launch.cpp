#include "orthant/train/launch.h"

#include <algorithm>
#include <thread>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "orthant/comm/local.h"
#include "orthant/comm/mpi.h"
#include "orthant/comm/nccl.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"
#include "orthant/train/broadcast_text.h"
#include "train/launch_local.h"
#include "train/rank_device.h"

namespace orthant {
namespace {

int HostCores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int ThreadsFor(int configured, int ranks_on_host) {
  return configured > 0 ? configured : std::max(1, HostCores() / ranks_on_host);
}

// The message of the lowest rank that failed, whole on rank 0 and empty elsewhere.
absl::Status AgreeOver(Communicator& world, const absl::Status& status) {
  const absl::Status agreed = AgreeOnStatus(status, world);
  return agreed.ok() || world.rank() == 0 ? agreed : StatusWithExitCode(ExitCodeOf(agreed), "");
}

}  // namespace

struct Launcher::Processes {
  explicit Processes(std::unique_ptr<MpiRuntime> started)
      : runtime(std::move(started)), world(runtime->World()) {}
  std::unique_ptr<MpiRuntime> runtime;
  std::unique_ptr<Communicator> world;      // before the runtime ends
  std::unique_ptr<NcclRuntime> nccl;        // where ranks compute on GPUs
  std::unique_ptr<Communicator> run_world;  // of a run, where it is not `world`; before nccl ends
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
    processes->runtime->Watch();
  }
  return std::unique_ptr<Launcher>(new Launcher(std::move(processes)));
}

Launcher::~Launcher() = default;

bool Launcher::first() const {
  return processes_ == nullptr || processes_->world->rank() == 0;
}

int Launcher::processes() const {
  return processes_ == nullptr ? 0 : processes_->world->size();
}

absl::Status Launcher::Agree(const absl::Status& status) {
  return processes_ == nullptr ? status : AgreeOver(*processes_->world, status);
}

absl::Status Launcher::Run(const CommConfig& config, int64_t ranks, int threads_per_rank,
                           const RankBody& body, const RunPlace& place, const OrderRanks& order) {
  { const BindMemory install(nullptr); }  // the accounting allocator, before there are threads
  if (config.backend == "nccl" && RealNcclTable() == nullptr) {
    return Agree(
        EnvironmentError("comm.backend = nccl needs a build with CUDA and NCCL (cmake --preset cuda, then "
                         "build/cuda/orthant); "
                         "in this build use comm.backend = auto"));
  }
  if (processes_ == nullptr) {
    if (config.backend == "auto" || config.backend == "local") {
      return RunThreads(config, ranks, threads_per_rank, body, place);
    }
    return EnvironmentError(
        absl::StrCat("comm.backend = ", config.backend, " needs an MPI launcher: mpirun -n ", ranks,
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
  if (order) Reorder(order);
  return RunProcess(config, ranks, threads_per_rank, body, place);
}

// The process that speaks to the user stays rank 0: it holds the run's folder.
void Launcher::Reorder(const OrderRanks& order) {
  const std::vector<int> process_of_rank = order(processes_->runtime->hosts());
  if (std::is_sorted(process_of_rank.begin(), process_of_rank.end())) return;
  processes_->run_world.reset();  // of an earlier Run
  processes_->world.reset();
  processes_->runtime->Reorder(process_of_rank);
  processes_->world = processes_->runtime->World();
}

absl::Status Launcher::RunThreads(const CommConfig& config, int64_t ranks, int threads_per_rank,
                                  const RankBody& body, const RunPlace& place) {
  const absl::StatusOr<RankDevice> taken =
      TakeDevice(device_, {.rank = 0, .ranks = static_cast<int>(ranks), .threads = true}, nullptr);
  if (!taken.ok()) return taken.status();
  RankEnvironment environment;
  environment.device = taken->device;
  environment.device_name = taken->name;
  environment.ranks_on_host = environment.ranks_in_process = static_cast<int>(ranks);
  environment.threads = ThreadsFor(threads_per_rank, environment.ranks_on_host);
  environment.backend = "local";
  if (!place.flight_folder.empty()) ClearFlightFolder(place.flight_folder);
  LocalInquest inquest(place, static_cast<int>(ranks));
  LocalOptions options;
  options.timeout_seconds = config.timeout;
  options.threads_per_rank = environment.threads;
  options.check = config.check;
  options.prepare = [&inquest](LocalWorld& world) { inquest.Attend(world); };
  try {
    RunLocal(static_cast<int>(ranks), options, [&](Communicator& world) {
      try {
        UseDevice(environment.device);
        const absl::Status status = body(world, environment);
        if (!status.ok()) throw StatusError(status);
        world.flight_recorder()->SetActivity("ended");
      } catch (...) {
        inquest.Note(world.rank(), std::current_exception());
        throw;
      }
    });
  } catch (...) {
    return inquest.Conclude(std::current_exception());
  }
  return absl::OkStatus();
}

// Tensors on GPUs travel over NCCL; comm.backend names MPI alone where they are to stay in main memory.
absl::Status Launcher::MakeWorld(const CommConfig& config, bool gpu) {
  if (config.check) processes_->runtime->SetCheck(true);
  if (!gpu) {
    // The world that has been there from the start does not compare what its members call.
    if (config.check) processes_->run_world = processes_->runtime->World();
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<NcclRuntime>> nccl = NcclRuntime::Create(
      *processes_->runtime, *RealNcclTable(), *RealDeviceTable(), {.check = config.check});
  if (!nccl.ok()) return nccl.status();
  processes_->nccl = *std::move(nccl);
  processes_->run_world = processes_->nccl->World();
  return absl::OkStatus();
}

absl::Status Launcher::RunProcess(const CommConfig& config, int64_t ranks, int threads_per_rank,
                                  const RankBody& body, const RunPlace& place) {
  processes_->world->flight_recorder()->SetActivity("");  // an earlier Run's end is none of this one
  RankEnvironment environment;
  environment.ranks_on_host = processes_->runtime->ranks_on_host();
  environment.hosts = processes_->runtime->hosts();
  environment.threads = ThreadsFor(threads_per_rank, environment.ranks_on_host);
  at::set_num_threads(environment.threads);
  const std::string wanted = config.backend == "nccl" && device_ == "auto"  ? "cuda"
                             : config.backend == "mpi" && device_ == "auto" ? "cpu"
                                                                            : device_;
  const absl::StatusOr<RankDevice> taken = TakeDevice(
      wanted, {processes_->runtime->rank_on_host(), environment.ranks_on_host}, processes_->world.get());
  if (absl::Status agreed = Agree(taken.status()); !agreed.ok()) return agreed;
  environment.device = taken->device;
  environment.device_name = taken->name;
  const bool gpu = !environment.device.is_cpu();
  environment.backend = gpu ? "nccl" : "mpi";
  if (!place.flight_folder.empty()) {
    if (first()) ClearFlightFolder(place.flight_folder);
    processes_->world->Barrier("flight.cleared");
  }
  processes_->runtime->SetPlace(place.flight_folder, place.describe);
  absl::Status status;
  try {
    status = MakeWorld(config, gpu);
    if (status.ok()) {
      status = body(processes_->run_world ? *processes_->run_world : *processes_->world, environment);
    }
  } catch (...) {
    status = StatusOf(std::current_exception());
  }
  if (status.ok()) processes_->world->flight_recorder()->SetActivity("ended");
  // A status that every rank returns alike (a loss that is not finite, a signal) is agreed on; a failure of
  // one rank leaves the others inside a collective, so the job ends, with this message told once.
  const ExitCode code = ExitCodeOf(status);
  if (status.ok() || code == ExitCode::kNumerical || code == ExitCode::kSignal) return Agree(status);
  processes_->runtime->Fail(static_cast<int>(code), std::string(status.message()));
}

}  // namespace orthant
