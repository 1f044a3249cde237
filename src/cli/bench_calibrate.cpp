// orthant bench calibrate --output here.yaml
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "cli/bench.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/bench/comm_bench.h"
#include "orthant/bench/compute_bench.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/plan/calibration.h"
#include "orthant/train/launch.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant bench calibrate --ranks 4 --output here.yaml
  mpirun -n 8 orthant bench calibrate --output here.yaml
  orthant plan configs/shakespeare.yaml --cluster here.yaml --ranks 4

Measures, on all ranks at once, matrix products, memory and small operations, and collectives and messages of groups of
2, 4 and 8. Writes a cluster's file, here.yaml, and beside it what was measured, here-calibration.yaml.)";

// Operations that a block issues, forward and backward, in Orthant's GPT-2: counted in src/model.
constexpr double kOperationsOfBlock = 90;

struct Options {
  int64_t ranks = 2;
  double seconds = 0.2, timeout = CommConfig().timeout;
  std::string output, format = "text", backend = "auto";
};

struct Measured {
  ComputeRates compute;
  std::vector<std::pair<int64_t, CommBenchResult>> links;  // by ranks of a group
  int64_t ranks_on_host = 1, threads = 1;
};

absl::Status CheckOutput(const std::string& path) {
  if (!absl::EndsWith(path, ".yaml"))
    return ConfigurationError(absl::StrCat("--output ", path, " must end in .yaml: it is a cluster's file"));
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  if (IsFolder(folder) && ::access(folder.c_str(), W_OK) == 0) return absl::OkStatus();
  return EnvironmentError(absl::StrCat("--output ", path, ": the folder ", folder, " cannot be written to"));
}

absl::StatusOr<Measured> Measure(const Options& options, int64_t ranks, Communicator& world,
                                 const RankEnvironment& environment) {
  Measured measured;
  measured.ranks_on_host = environment.ranks_on_host;
  measured.threads = environment.threads;
  measured.compute = BenchCompute(options.seconds, world, environment);
  for (int64_t group = 2; group <= 8 && ranks % group == 0; group *= 2) {
    const Mesh mesh(Degrees{.data = static_cast<int>(ranks / group), .tensor = static_cast<int>(group)});
    CommBenchOptions bench;
    absl::StatusOr<std::vector<BenchAxis>> axes = ParseBenchAxes("tensor", mesh.degrees());
    if (!axes.ok()) return axes.status();
    bench.axes = *std::move(axes);
    bench.ops = {BenchOp::kAllReduce, BenchOp::kAllGather, BenchOp::kPingPong};
    bench.sizes = {int64_t{4} << 10, int64_t{64} << 10, int64_t{1} << 20, int64_t{16} << 20};
    bench.seconds = options.seconds;
    absl::StatusOr<CommBenchResult> result = BenchComm(mesh, bench, world, environment, nullptr);
    if (!result.ok()) return result.status();
    measured.links.emplace_back(group, *std::move(result));
  }
  return measured;
}

const LinkCurve* CurveOf(const CommBenchResult& result, BenchOp op) {
  for (const LinkCurve& curve : result.links.axes.at(0).curves)
    if (curve.op == op) return &curve;
  return nullptr;
}

Calibration CalibrationOf(const Measured& m, const std::string& name, const std::string& command) {
  Calibration c;
  c.name = name;
  c.machine = "this one";
  c.command = command;
  c.rows = "none: measured parts";
  Software& s = c.software;
  s.name = "Orthant";
  s.fused_dropout = false;
  s.data_overlap = "backward";
  s.schedules = {"gpipe", "1f1b"};
  s.tensor_sequence = true;
  s.loss_bytes = 0;
  s.reserve = 0;
  c.constants.matmul = m.compute.products / m.compute.product;
  c.constants.attention = c.constants.matmul;
  c.constants.memory = 1;  // what was measured is what operations reach
  c.constants.layer_overhead = kOperationsOfBlock * m.compute.operation;
  c.constants.node_link = 1;
  for (const auto& [ranks, result] : m.links) {
    LinkTable& table = ranks == 2 ? c.all_reduce_2 : ranks == 4 ? c.all_reduce_4 : c.all_reduce_8;
    for (const LinkPoint& point : CurveOf(result, BenchOp::kAllReduce)->points)
      table.points.insert(table.points.end(), {static_cast<double>(point.bytes), point.seconds});
    const LinkPoint& small = CurveOf(result, BenchOp::kPingPong)->points.front();
    if (ranks == 2) {
      c.constants.latency = small.seconds;
      c.constants.send_latency = small.seconds;
    }
  }
  return c;
}

// Bytes/s that a rank receives in the largest gather.
double NodeBandwidth(const Measured& m) {
  if (m.links.empty()) return 0;
  const auto& [ranks, result] = m.links.back();
  const LinkPoint& point = CurveOf(result, BenchOp::kAllGather)->points.back();
  return static_cast<double>(point.bytes) * static_cast<double>(ranks - 1) / static_cast<double>(ranks) /
         point.seconds;
}

std::string ClusterText(const Measured& m, const std::string& name, const std::string& command) {
  return absl::StrCat(
      "# This machine, measured by\n#   ", command, "\ncluster: {name: ", name,
      ", scheduler: none, tried: true}\nnode:\n  gpus: ", m.ranks_on_host,
      "               # ranks that were at work together\n  gpu: CPU rank of ", m.threads, " threads\n",
      "performance:\n",
      absl::StrFormat("  peak_tflops: %.6g      # twice the best fp32 product: the key is of 16 bits\n"
                      "  memory_bandwidth: %.6g # an addition, read and written\n",
                      2 * m.compute.product / 1e12, m.compute.memory / 1e9),
      m.links.empty() ? std::string()
                      : absl::StrFormat("  node_bandwidth: %.6g   # an all-gather\n", NodeBandwidth(m) / 1e9),
      "  calibration: ", name, "-calibration.yaml\n");
}

absl::Status Write(const Options& options, const Measured& m) {
  const std::string name = std::filesystem::path(options.output).stem().string();
  const std::string command =
      absl::StrCat("orthant bench calibrate --ranks ", options.ranks, " --output ", name, ".yaml");
  const std::string beside = absl::StrCat(absl::StripSuffix(options.output, ".yaml"), "-calibration.yaml");
  const Calibration calibration = CalibrationOf(m, name + "-calibration", command);
  if (absl::Status s = WriteFileAtomically(beside, CalibrationText(calibration)); !s.ok()) return s;
  if (absl::Status s = WriteFileAtomically(options.output, ClusterText(m, name, command)); !s.ok()) return s;
  const ComputeRates& r = m.compute;
  if (options.format == "json") {
    const nlohmann::ordered_json json = {
        {"ranks", options.ranks},           {"product_flops", r.product},
        {"products_flops", r.products},     {"memory_bytes_per_second", r.memory},
        {"operation_seconds", r.operation}, {"node_bytes_per_second", NodeBandwidth(m)},
        {"cluster", options.output},        {"calibration", beside}};
    std::fputs((json.dump(2) + "\n").c_str(), stdout);
  } else {
    std::printf(
        "a rank, all %lld at work: product %.1f GFLOP/s, a block's products %.1f, memory %.1f GB/s, "
        "operation %.2f us, all-gather %.2f GB/s\n",
        static_cast<long long>(options.ranks), r.product / 1e9, r.products / 1e9, r.memory / 1e9,
        r.operation * 1e6, NodeBandwidth(m) / 1e9);
  }
  std::fflush(stdout);
  std::fprintf(stderr, "wrote %s and %s\n", options.output.c_str(), beside.c_str());
  return absl::OkStatus();
}

absl::Status Calibrate(Options options) {
  const absl::StatusOr<std::unique_ptr<Launcher>> launcher = Launcher::Start(options.timeout);
  if (!launcher.ok()) return launcher.status();
  if ((*launcher)->processes() > 0) options.ranks = (*launcher)->processes();
  absl::Status ready = (*launcher)->first() ? CheckOutput(options.output) : absl::OkStatus();
  if (absl::Status agreed = (*launcher)->Agree(ready); !agreed.ok()) return agreed;
  CommConfig comm;
  comm.backend = options.backend;
  comm.timeout = options.timeout;
  Measured result;
  const absl::Status ran = (*launcher)->Run(
      comm, options.ranks, /*threads_per_rank=*/1,
      [&](Communicator& world, const RankEnvironment& environment) -> absl::Status {
        absl::StatusOr<Measured> measured = Measure(options, options.ranks, world, environment);
        if (measured.ok() && world.rank() == 0) result = *std::move(measured);
        return measured.status();
      });
  if (!ran.ok()) return ran;
  return (*launcher)->Agree((*launcher)->first() ? Write(options, result) : absl::OkStatus());
}

}  // namespace

void AddBenchCalibrate(CLI::App& bench, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "calibrate", "Measure products, memory and links, and write a cluster's file for orthant plan");
  command->add_option("--ranks", options->ranks, "Ranks at work, as threads; under a launcher its processes")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "Time for each thing that is measured")
      ->check(CLI::Range(0.001, 3600.0))
      ->capture_default_str();
  command->add_option("--backend", options->backend, "auto: mpi under a launcher, else local")
      ->check(CLI::IsMember({"auto", "local", "mpi"}))
      ->capture_default_str();
  command->add_option("--output", options->output, "The cluster's file to write")
      ->required()
      ->type_name("FILE.yaml");
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Calibrate(*options); }; });
}

}  // namespace orthant
