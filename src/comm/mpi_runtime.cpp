#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>

#include "absl/strings/str_format.h"
#include "comm/mpi_communicator.h"
#include "comm/mpi_watchdog.h"
#include "orthant/comm/mpi.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// How long Finalize waits for asynchronous operations that nobody waited for.
constexpr double kDrainSeconds = 30.0;

bool IsSet(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

// Of one start of one machine: names alone may be the same on two.
std::string BootId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

// A text of every process, by rank; `own` is cut off at 255 letters. Collective.
std::vector<std::string> GatherNames(const std::string& own, int size) {
  constexpr size_t kLongest = 256;
  char mine[kLongest] = "";
  own.copy(mine, kLongest - 1);
  std::vector<char> all(kLongest * static_cast<size_t>(size));
  mpi::Check(MPI_Allgather(mine, kLongest, MPI_CHAR, all.data(), kLongest, MPI_CHAR, MPI_COMM_WORLD),
             "MPI_Allgather");
  std::vector<std::string> names;
  for (size_t rank = 0; rank < static_cast<size_t>(size); ++rank) names.emplace_back(&all[rank * kLongest]);
  return names;
}

}  // namespace

bool MpiRuntime::UnderLauncher() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (IsSet(variable)) return true;
  }
  // A batch script's own shell has SLURM_NTASKS too, but no step with tasks.
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  return tasks != nullptr && std::atoi(tasks) > 1;
}

absl::StatusOr<std::unique_ptr<MpiRuntime>> MpiRuntime::Start(const MpiOptions& options) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0)
    return EnvironmentError("MPI is already running in this process: it can be started only once");
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
    return EnvironmentError(
        "MPI_Init_thread failed: is the program run by the mpirun of the MPI it was built with?");
  }
  if (provided < MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    return EnvironmentError(absl::StrFormat(
        "this MPI grants thread level %d, but MPI_THREAD_MULTIPLE (%d) is needed: asynchronous "
        "operations run on a thread of their own",
        provided, MPI_THREAD_MULTIPLE));
  }
  return std::unique_ptr<MpiRuntime>(new MpiRuntime(options));
}

MpiRuntime::MpiRuntime(const MpiOptions& options)
    : options_(options), exceptions_at_start_(std::uncaught_exceptions()) {
  // Errors of nonblocking operations are reported here, whichever communicator they are on: without this they
  // would end the process.
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  base_ = std::make_shared<mpi::Control>();
  mpi::Check(MPI_Comm_dup(MPI_COMM_WORLD, &base_->comm), "MPI_Comm_dup");
  MPI_Comm_rank(base_->comm, &rank_);
  MPI_Comm_size(base_->comm, &size_);
  MPI_Comm host = MPI_COMM_NULL;
  if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host) == MPI_SUCCESS) {
    MPI_Comm_size(host, &ranks_on_host_);
    MPI_Comm_rank(host, &rank_on_host_);
    MPI_Comm_free(&host);
  }
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  hosts_ = GatherNames(options.host_name ? options.host_name(rank_) : name, size_);
  host_keys_ = GatherNames(BootId(), size_);
  for (size_t rank = 0; rank < host_keys_.size(); ++rank) host_keys_[rank] += hosts_[rank];
  engine_ = NewEngine();
  recorder_ = std::make_shared<FlightRecorder>(rank_);
  recorder_->set_timeout(options.timeout_seconds);
}

MpiRuntime::~MpiRuntime() {
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    std::fprintf(stderr, "rank %d: an exception ends the MPI job\n", rank_);
    Abort(static_cast<int>(ExitCode::kInternal));
  }
  if (!engine_->Drain(kDrainSeconds)) {
    std::fprintf(stderr, "rank %d: operations are still under way at the end:\n%s", rank_,
                 recorder_->Dump(16).c_str());
    Abort(static_cast<int>(ExitCode::kCommunication));
  }
  EndWatch();
  engine_.reset();
  base_.reset();
  // mpirun ends the others when the first process leaves with a failure: whoever has the message still says
  // it.
  std::signal(SIGTERM, SIG_IGN);
  MPI_Finalize();
}

std::unique_ptr<Communicator> MpiRuntime::World() {
  MPI_Comm comm = MPI_COMM_NULL;
  mpi::Check(MPI_Comm_dup(base_->comm, &comm), "MPI_Comm_dup");
  auto control = std::make_shared<mpi::Control>();
  mpi::Check(MPI_Comm_dup(base_->comm, &control->comm), "MPI_Comm_dup");
  return std::make_unique<mpi::MpiCommunicator>(engine_, comm, std::move(control), "world", options_,
                                                recorder_);
}

std::shared_ptr<mpi::Engine> MpiRuntime::NewEngine() const {
  return std::make_shared<mpi::Engine>(
      std::make_shared<mpi::Host>(base_->comm, host_keys_, options_.shared_memory, options_.reach_in));
}

void MpiRuntime::Watch() {
  if (size_ == 1 || watchdog_ != nullptr) return;
  watchdog_ = std::make_unique<mpi::Watchdog>(base_->comm, recorder_, [](int code) {
    MPI_Abort(MPI_COMM_WORLD, code);
    std::_Exit(code);
  });
  engine_->SetWatchdog(watchdog_.get());
}

void MpiRuntime::EndWatch() {
  if (watchdog_ == nullptr) return;
  watchdog_->Part();
  engine_->SetWatchdog(nullptr);
  watchdog_.reset();
}

void MpiRuntime::Reorder(const std::vector<int>& process_of_rank) {
  const bool watched = watchdog_ != nullptr;
  EndWatch();
  std::vector<std::string> hosts, keys;
  int rank = 0;
  for (size_t r = 0; r < process_of_rank.size(); ++r) {
    hosts.push_back(hosts_[static_cast<size_t>(process_of_rank[r])]);
    keys.push_back(host_keys_[static_cast<size_t>(process_of_rank[r])]);
    if (process_of_rank[r] == rank_) rank = static_cast<int>(r);
  }
  auto ordered = std::make_shared<mpi::Control>();
  mpi::Check(MPI_Comm_split(base_->comm, 0, rank, &ordered->comm), "MPI_Comm_split");
  base_ = std::move(ordered);
  hosts_ = std::move(hosts);
  host_keys_ = std::move(keys);
  rank_ = rank;
  engine_ = NewEngine();  // who shares memory with whom goes by rank
  const double timeout = recorder_->timeout();
  recorder_ = std::make_shared<FlightRecorder>(rank_);
  recorder_->set_timeout(timeout);
  if (watched) Watch();
}

void MpiRuntime::SetPlace(std::string flight_folder, DescribeRank describe) {
  if (watchdog_ != nullptr) watchdog_->SetPlace(std::move(flight_folder), std::move(describe));
}

void MpiRuntime::Report(int code, const std::string& message) {
  if (watchdog_ == nullptr) return;
  if (message.empty()) {
    watchdog_->DeadlinePassed();
  } else {
    watchdog_->Failed(code, message);
  }
}

void MpiRuntime::Fail(int code, const std::string& message) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  if (watchdog_ != nullptr) watchdog_->Failed(code, message);
  // Alone, or nobody has ended the job: as plainly as possible.
  std::fprintf(stderr, "error: %s\n", message.c_str());
  Abort(code);
}

void MpiRuntime::Abort(int code) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace orthant
