// orthant bench calibrate --output here.yaml
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "cli/bench.h"
#include "cli/plan_workload.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/bench/block_bench.h"
#include "orthant/bench/comm_bench.h"
#include "orthant/bench/compute_bench.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/plan/compute_time.h"
#include "orthant/train/launch.h"
#include "orthant/train/memory_estimate.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant bench calibrate --ranks 4 --output here.yaml
  mpirun -n 8 orthant bench calibrate --output here.yaml
  orthant plan configs/shakespeare.yaml --cluster here.yaml --ranks 4

Measures, on all ranks at once, matrix products, memory and small operations, and collectives and messages of groups of
2, 4 and 8 of a host, and between hosts where there are several. Writes a cluster's file, here.yaml, and beside it what was measured, here-calibration.yaml.)";

struct Options {
  int64_t ranks = 2;
  int threads = 1;
  double seconds = 0.2, timeout = CommConfig().timeout;
  std::string output, format = "text", backend = "auto";
};

struct Measured {
  ComputeRates compute;
  std::vector<std::pair<int64_t, CommBenchResult>> links;  // of a host: by ranks of a group
  double block = 0;                                        // s of BenchBlock
  double network = 0;                                      // bytes/s of a host; 0: all are on one
  int64_t ranks_on_host = 1, threads = 1;
};

absl::Status CheckOutput(const std::string& path) {
  if (!absl::EndsWith(path, ".yaml"))
    return ConfigurationError(absl::StrCat("--output ", path, " must end in .yaml: it is a cluster's file"));
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string name = std::filesystem::path(path).stem().string();
  for (const char c : name) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-_.", std::string(1, c)))
      continue;
    return ConfigurationError(absl::StrCat("--output ", path, ": ", name,
                                           " is the cluster's name too: letters, digits, '-', '_', '.'"));
  }
  const std::string folder = parent.empty() ? "." : parent;
  if (IsFolder(folder) && ::access(folder.c_str(), W_OK) == 0) return absl::OkStatus();
  return EnvironmentError(absl::StrCat("--output ", path, ": the folder ", folder, " cannot be written to"));
}

// The collectives of groups that differ along `axis` of the mesh.
absl::StatusOr<CommBenchResult> BenchGroups(const Degrees& degrees, const std::string& axis, double seconds,
                                            Communicator& world, const RankEnvironment& environment) {
  CommBenchOptions bench;
  absl::StatusOr<std::vector<BenchAxis>> axes = ParseBenchAxes(axis, degrees);
  if (!axes.ok()) return axes.status();
  bench.axes = *std::move(axes);
  bench.ops = {BenchOp::kAllReduce, BenchOp::kAllGather, BenchOp::kPingPong};
  bench.sizes = {int64_t{4} << 10, int64_t{64} << 10, int64_t{1} << 20, int64_t{16} << 20};
  bench.seconds = seconds;
  return BenchComm(Mesh(degrees), bench, world, environment, nullptr);
}

const LinkCurve* CurveOf(const CommBenchResult& result, BenchOp op) {
  for (const LinkCurve& curve : result.links.axes.at(0).curves)
    if (curve.op == op) return &curve;
  return nullptr;
}

// Bytes/s that a rank receives in the largest gather of groups of so many.
double GatherRate(const CommBenchResult& result, int64_t ranks) {
  const LinkPoint& point = CurveOf(result, BenchOp::kAllGather)->points.back();
  return static_cast<double>(point.bytes) * static_cast<double>(ranks - 1) / static_cast<double>(ranks) /
         point.seconds;
}

// Groups of 2, 4 and 8 ranks of a host; of all its ranks where none of these divides them.
std::vector<int64_t> GroupsOf(int64_t ranks_on_host) {
  std::vector<int64_t> groups;
  for (int64_t group = 2; group <= 8 && ranks_on_host % group == 0; group *= 2) groups.push_back(group);
  if (groups.empty() && ranks_on_host > 1) groups.push_back(ranks_on_host);
  return groups;
}

absl::StatusOr<Measured> Measure(const Options& options, int64_t ranks, Communicator& world,
                                 const RankEnvironment& environment) {
  Measured measured;
  measured.ranks_on_host = environment.ranks_on_host;
  measured.threads = environment.threads;
  measured.compute = BenchCompute(options.seconds, world, environment);
  const absl::StatusOr<double> block = BenchBlock(world, environment);
  if (!block.ok()) return block.status();
  measured.block = *block;
  const int64_t on_host = environment.ranks_on_host;
  for (const int64_t group : GroupsOf(on_host)) {
    const Degrees degrees{.data = static_cast<int>(ranks / group), .tensor = static_cast<int>(group)};
    absl::StatusOr<CommBenchResult> result =
        BenchGroups(degrees, "tensor", options.seconds, world, environment);
    if (!result.ok()) return result.status();
    measured.links.emplace_back(group, *std::move(result));
  }
  if (on_host == ranks) return measured;
  // Every rank of a host gathers from its like on the others at the same time: together the host's network.
  const Degrees degrees{.data = static_cast<int>(ranks / on_host), .tensor = static_cast<int>(on_host)};
  const absl::StatusOr<CommBenchResult> across =
      BenchGroups(degrees, "data", options.seconds, world, environment);
  if (!across.ok()) return across.status();
  measured.network = static_cast<double>(on_host) * GatherRate(*across, ranks / on_host);
  return measured;
}

// What the timed block took beyond its arithmetic by these constants.
double OverheadOf(const Measured& m, const Calibration& calibration) {
  Machine machine;
  machine.calibration = calibration;
  machine.calibration.constants.layer_overhead = 0;
  machine.peak = 2 * m.compute.product;
  machine.memory_bandwidth = m.compute.memory;
  RunConfig config;
  config.model = BlockBenchModel();
  config.train.dtype = "fp32";
  config.train.micro_batch = config.train.global_batch = 1;
  const absl::StatusOr<Workload> workload = WorkloadOf(config);
  const BlockTime time = TimeOfBlock(machine, *workload, PlannedLayoutOf(config));
  return std::max(0.0, m.block - time.Forward(0) - time.Backward(0));
}

Calibration CalibrationOf(const Measured& m, const std::string& name, const std::string& command) {
  Calibration c;
  c.name = name;
  c.machine = "this one";
  c.threads = m.threads;
  c.command = command;
  c.rows = "none: measured parts";
  Software& s = c.software;
  s.name = "Orthant";
  s.fused_dropout = false;
  s.data_overlap = "backward";
  s.schedules = {"gpipe", "1f1b"};
  s.tensor_sequence = true;
  const ProductKernels kernels = ProductKernels::OfThisProcessor();
  s.transposes = kernels.one_dnn_float;
  s.through_float = !kernels.bfloat16_products;
  s.loss_bytes = 0;
  s.reserve = 0;
  c.constants.matmul = m.compute.products / m.compute.product;
  // Two products of fp32 in a score's time, of which causal attention needs half.
  const double depth = m.compute.score_depth * 2 * m.compute.product;
  c.constants.attention = depth > 0 ? std::min(1.0, 4 / depth) : c.constants.matmul;
  c.constants.skew = m.compute.skew;
  c.constants.score_seconds = m.compute.score;
  c.constants.activation_seconds = m.compute.activation;
  c.constants.memory = 1;  // what was measured is what operations reach
  c.constants.node_link = c.constants.network = 1;
  c.constants.layer_overhead = OverheadOf(m, c);
  for (const auto& [ranks, result] : m.links) {
    LinkTable& table = ranks == 2 ? c.all_reduce_2 : ranks <= 4 ? c.all_reduce_4 : c.all_reduce_8;
    for (const LinkPoint& point : CurveOf(result, BenchOp::kAllReduce)->points)
      table.points.insert(table.points.end(), {static_cast<double>(point.bytes), point.seconds});
  }
  if (!m.links.empty()) {
    const LinkPoint& small = CurveOf(m.links.front().second, BenchOp::kPingPong)->points.front();
    c.constants.latency = c.constants.send_latency = small.seconds;
  }
  return c;
}

double NodeBandwidth(const Measured& m) {
  return m.links.empty() ? 0 : GatherRate(m.links.back().second, m.links.back().first);
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
      m.network > 0
          ? absl::StrFormat("  network_bandwidth: %.6g # an all-gather of each rank with its like\n",
                            m.network / 1e9)
          : std::string(),
      "  calibration: ", name, "-calibration.yaml\n");
}

absl::Status Write(const Options& options, const Measured& m) {
  const std::string name = std::filesystem::path(options.output).stem().string();
  const std::string command =
      absl::StrCat("orthant bench calibrate --ranks ", options.ranks, " --threads ", options.threads,
                   " --seconds ", options.seconds, " --output ", name, ".yaml");
  const std::string beside = absl::StrCat(absl::StripSuffix(options.output, ".yaml"), "-calibration.yaml");
  const Calibration calibration = CalibrationOf(m, name + "-calibration", command);
  if (absl::Status s = WriteFileAtomically(beside, CalibrationText(calibration)); !s.ok()) return s;
  if (absl::Status s = WriteFileAtomically(options.output, ClusterText(m, name, command)); !s.ok()) return s;
  const ComputeRates& r = m.compute;
  if (options.format == "json") {
    const nlohmann::ordered_json json = {{"ranks", options.ranks},
                                         {"product_flops", r.product},
                                         {"products_flops", r.products},
                                         {"memory_bytes_per_second", r.memory},
                                         {"block_seconds", m.block},
                                         {"score_seconds", r.score},
                                         {"activation_seconds", r.activation},
                                         {"node_bytes_per_second", NodeBandwidth(m)},
                                         {"cluster", options.output},
                                         {"calibration", beside}};
    std::fputs((json.dump(2) + "\n").c_str(), stdout);
  } else {
    std::printf(
        "a rank, all %lld at work: product %.1f GFLOP/s, a block's products %.1f, memory %.1f GB/s, "
        "block %.0f us, skew %.2f us, score %.2f ns, activation %.2f ns, all-gather %.2f GB/s\n",
        static_cast<long long>(options.ranks), r.product / 1e9, r.products / 1e9, r.memory / 1e9,
        m.block * 1e6, r.skew * 1e6, r.score * 1e9, r.activation * 1e9, NodeBandwidth(m) / 1e9);
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
      comm, options.ranks, options.threads,
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
  command->add_option("--threads", options->threads, "Threads of a rank, as the run will have")
      ->check(CLI::Range(1, 4096))
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
