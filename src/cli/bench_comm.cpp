// orthant bench comm [--mesh data=2,tensor=4] [--axis tensor] ...
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/bench.h"
#include "cli/run_file.h"
#include "orthant/bench/comm_bench.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/train/launch.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant bench comm                                              two ranks as threads, everything
  orthant bench comm --mesh data=2,tensor=4 --axis tensor --ops all_reduce --sizes 4KiB..64MiB
  mpirun -n 4 orthant bench comm --ops all_reduce,all_gather --sizes 1MiB,64MiB --compare mpi
  mpirun -n 8 orthant bench comm --mesh data=2,tensor=4 --output links.json
  orthant bench comm --ops all_reduce --iterations 20 --format json > comm.json

Every result is checked. Sizes are those of the whole tensor on a rank; algorithm bandwidth is size / time, bus
bandwidth that times the factors of nccl-tests (all_reduce 2 (n-1)/n, operations with slices (n-1)/n, others 1).
Exit codes: 0 done, 2 usage, 3 wrong number of processes, too little memory or a file that cannot be written,
4 communication failed or gave a wrong result.)";

struct Options {
  std::string mesh, axis = "all", ops = "all", sizes, dtype = "fp32", backend = "auto", compare = "none";
  int64_t iterations = 0;
  double seconds = 0.2;
  double timeout = CommConfig().timeout;
  bool asynchronous = false;
  std::string format = "text", output;
};

// What can be known to be wrong with the file's place before anything is measured.
absl::Status CheckOutput(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  if (IsFolder(path)) return EnvironmentError(absl::StrCat("--output ", path, " is a folder; name a file"));
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  if (IsFolder(folder) && ::access(folder.c_str(), W_OK) == 0) return absl::OkStatus();
  return EnvironmentError(absl::StrCat("--output ", path, ": the folder ", folder,
                                       IsFolder(folder) ? " cannot be written to" : " does not exist"));
}

struct Plan {
  Mesh mesh{Degrees{}};
  CommBenchOptions bench;
};

absl::StatusOr<Plan> PlanOf(const Options& options, int processes) {
  const std::string mesh =
      options.mesh.empty() ? absl::StrCat("data=", processes > 0 ? processes : 2) : options.mesh;
  const absl::StatusOr<Degrees> degrees = ParseBenchMesh(mesh);
  if (!degrees.ok()) return degrees.status();
  Plan plan;
  plan.mesh = Mesh(*degrees);
  CommBenchOptions& bench = plan.bench;
  absl::StatusOr<std::vector<BenchAxis>> axes = ParseBenchAxes(options.axis, *degrees);
  if (!axes.ok()) return axes.status();
  bench.axes = *std::move(axes);
  absl::StatusOr<std::vector<BenchOp>> ops = ParseBenchOps(options.ops);
  if (!ops.ok()) return ops.status();
  bench.ops = *std::move(ops);
  const int64_t element = options.dtype == "fp64" ? 8 : options.dtype == "bf16" ? 2 : 4;
  const int64_t unit = BenchSizeUnit(bench.axes, plan.mesh, element);
  if (options.sizes.empty()) {
    bench.sizes = DefaultBenchSizes(unit);
  } else {
    const std::string why =
        absl::StrCat("an element of ", options.dtype, " for each of ", unit / element, " ranks");
    absl::StatusOr<std::vector<int64_t>> sizes = ParseBenchSizes(options.sizes, unit, why);
    if (!sizes.ok()) return sizes.status();
    bench.sizes = *std::move(sizes);
  }
  bench.dtype = options.dtype;
  bench.asynchronous = options.asynchronous;
  bench.iterations = options.iterations;
  bench.seconds = options.seconds;
  bench.compare_mpi = options.compare == "mpi";
  if (!bench.compare_mpi) return plan;
  if (processes == 0) {
    return ConfigurationError(
        "--compare mpi calls MPI's own collectives, which needs an MPI launcher: mpirun -n 2 orthant bench "
        "comm ...");
  }
  if (options.dtype == "bf16")
    return ConfigurationError("--compare mpi: MPI has no type for bf16; choose fp32 or fp64");
  if (bench.sizes.back() / element > INT32_MAX) {
    return ConfigurationError(absl::StrCat("--compare mpi: MPI counts to ", INT32_MAX,
                                           " elements; choose sizes up to ",
                                           INT32_MAX * element / unit * unit, " bytes"));
  }
  return plan;
}

absl::Status Bench(const Options& options) {
  const absl::StatusOr<std::unique_ptr<Launcher>> launcher = Launcher::Start(options.timeout);
  if (!launcher.ok()) return launcher.status();
  const absl::StatusOr<Plan> plan = PlanOf(options, (*launcher)->processes());
  absl::Status ready = plan.status();
  if (ready.ok() && (*launcher)->first()) ready = CheckOutput(options.output);
  if (absl::Status agreed = (*launcher)->Agree(ready); !agreed.ok()) return agreed;

  CommConfig comm;
  comm.backend = options.backend;
  comm.timeout = options.timeout;
  std::unique_ptr<ProgressBar> bar;  // rank 0 alone
  const auto progress = [&bar](int64_t done, int64_t total) {
    if (!bar) bar = std::make_unique<ProgressBar>("bench", total);
    bar->Update(done);
  };
  CommBenchResult result;
  const absl::Status ran =
      (*launcher)->Run(comm, plan->mesh.world(), /*threads_per_rank=*/1,
                       [&](Communicator& world, const RankEnvironment& environment) -> absl::Status {
                         absl::StatusOr<CommBenchResult> measured =
                             BenchComm(plan->mesh, plan->bench, world, environment, progress);
                         if (measured.ok() && world.rank() == 0) result = *std::move(measured);
                         return measured.status();
                       });
  bar.reset();
  if (!ran.ok()) return ran;
  absl::Status written;
  if ((*launcher)->first()) {
    const bool json = options.format == "json";
    std::fputs((json ? ToJson(result).dump(2) + "\n" : ToText(result, CanDrawBoxes(1))).c_str(), stdout);
    std::fflush(stdout);
    if (!options.output.empty()) written = WriteLinkFile(options.output, result.links);
    if (written.ok() && !options.output.empty()) std::fprintf(stderr, "wrote %s\n", options.output.c_str());
  }
  return (*launcher)->Agree(written);
}

}  // namespace

void AddBenchComm(CLI::App& bench, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "comm", "Time every collective and message on the axes of a mesh, and check the results");
  command
      ->add_option(
          "--mesh", options->mesh,
          "Degrees, as data=2,tensor=4; default: data = the processes started, or 2 without a launcher")
      ->type_name("AXIS=N,...");
  command
      ->add_option("--axis", options->axis,
                   "data, tensor, pipeline, sequence, data_sequence, world; several with commas; all")
      ->type_name("NAMES")
      ->capture_default_str();
  command
      ->add_option(
          "--ops", options->ops,
          "all_reduce, all_gather, reduce_scatter, all_to_all, all_to_all_split, broadcast, reduce, scatter, "
          "gather, send_recv, ping_pong, barrier, copy (memcpy, for comparison); several with commas; all")
      ->type_name("NAMES")
      ->capture_default_str();
  command
      ->add_option("--sizes", options->sizes,
                   "Bytes of the whole tensor: 1MiB,64MiB, or a range by factors of 4; default: 4KiB..64MiB")
      ->type_name("SIZES");
  command->add_option("--dtype", options->dtype, "Of the tensors")
      ->check(CLI::IsMember({"fp32", "fp64", "bf16"}))
      ->capture_default_str();
  auto* iterations =
      command->add_option("--iterations", options->iterations, "Samples of each operation and size")
          ->check(CLI::Range(int64_t{1}, int64_t{1000000}));
  command->add_option("--seconds", options->seconds, "Time for each operation and size; 5 to 1,000 samples")
      ->check(CLI::Range(0.001, 3600.0))
      ->capture_default_str()
      ->excludes(iterations);
  command->add_flag("--async", options->asynchronous,
                    "Issue each call and wait for it, instead of blocking calls");
  command
      ->add_option("--compare", options->compare, "mpi: MPI's own collectives too, in turns, in the same run")
      ->check(CLI::IsMember({"none", "mpi"}))
      ->capture_default_str();
  command->add_option("--backend", options->backend, "auto: mpi under a launcher, else local")
      ->check(CLI::IsMember({"auto", "local", "mpi"}))
      ->capture_default_str();
  command->add_option("--timeout", options->timeout, "Seconds that an operation may wait for its peers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--output", options->output, "Write the times and formulas there, as JSON, for planning")
      ->type_name("FILE");
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Bench(*options); }; });
}

}  // namespace orthant
