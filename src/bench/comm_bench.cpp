#include "orthant/bench/comm_bench.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <set>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/contestant.h"
#include "bench/machine.h"
#include "orthant/core/hash.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/train/broadcast_text.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;
using Contestants = std::vector<std::unique_ptr<Contestant>>;

constexpr int64_t kFewestSamples = 5, kMostSamples = 1000;
// Small calls are timed back to back, as a training step issues them; the barrier before would cost as much
// as they.
constexpr int64_t kBatchBelow = 256 << 10, kBatch = 10;

at::ScalarType TypeNamed(const std::string& dtype) {
  return dtype == "fp64" ? at::kDouble : dtype == "bf16" ? at::kBFloat16 : at::kFloat;
}

// One axis on one rank.
class AxisBench {
 public:
  AxisBench(const BenchAxis& axis, const CommBenchOptions& options, const Mesh& mesh, Communicator& world)
      : options_(options),
        world_(world),
        own_(world.Subgroup(mesh.GroupOf(world.rank(), axis.axes).ranks(), axis.name)) {
    links_.axis = axis.name;
    links_.ranks = own_->size();
    links_.groups = mesh.world() / own_->size();
    links_.hosts = CountHosts();
    contestants_.push_back(OurCalls(*own_, options.asynchronous));
    if (options.compare_mpi) contestants_.push_back(MpiCalls(*own_));
  }

  // Adds the point of one operation and size to each contestant's curve. OK on all ranks or on none.
  absl::Status Measure(BenchOp op, int64_t bytes, std::vector<LinkCurve>* curves) {
    const at::ScalarType dtype = TypeNamed(options_.dtype);
    const BenchTensors tensors(bytes / static_cast<int64_t>(at::elementSize(dtype)), own_->size(), dtype);
    int64_t sent = 0;
    for (size_t who = 0; who < contestants_.size(); ++who) {
      const int64_t before = own_->bytes_sent();
      if (absl::Status right = CheckResult(op, who, tensors); !right.ok()) return right;
      if (who == 0) sent = own_->bytes_sent() - before;
    }
    tensors.whole.fill_(0);  // sums stay what they are, however often
    tensors.share.fill_(0);
    LinkPoint point;
    point.bytes = bytes;
    point.calls = bytes < kBatchBelow ? kBatch : 1;
    point.sent_bytes = sent;
    const std::vector<std::vector<double>> times = Samples(op, point.calls, tensors);
    for (size_t who = 0; who < contestants_.size(); ++who) {
      std::vector<double> sorted = times[who];
      std::sort(sorted.begin(), sorted.end());
      const size_t n = sorted.size();
      point.samples = static_cast<int64_t>(n);
      point.seconds = n % 2 == 1 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
      point.min_seconds = sorted.front();
      point.max_seconds = sorted.back();
      (*curves)[who].points.push_back(point);
    }
    return absl::OkStatus();
  }

  LinkAxis links() const { return links_; }
  size_t contestants() const { return contestants_.size(); }

 private:
  int64_t CountHosts() {
    const auto mine = static_cast<int64_t>(Fnv1a64(HostName()));
    const at::Tensor host = at::full({1}, mine, at::kLong), hosts = at::empty({own_->size()}, at::kLong);
    own_->AllGather(hosts, host, "bench.hosts");
    const int64_t* each = hosts.data_ptr<int64_t>();
    const std::set<int64_t> different(each, each + own_->size());
    const at::Tensor most = at::full({1}, static_cast<int64_t>(different.size()), at::kLong);
    world_.AllReduce(most, ReduceOp::kMax, "bench.hosts");
    return most.item<int64_t>();
  }

  absl::Status CheckResult(BenchOp op, size_t who, const BenchTensors& tensors) {
    FillPattern(op, own_->rank(), tensors);
    contestants_[who]->Call(op, tensors);
    std::string wrong = WrongResult(op, own_->rank(), own_->size(), tensors);
    if (!wrong.empty()) {
      wrong = absl::StrCat(who == 0 ? "" : "MPI's own ", std::string(BenchOpName(op)), " of ",
                           tensors.whole.nbytes(), " bytes (", options_.dtype, ") on the ", links_.axis,
                           " axis is wrong on rank ", world_.rank(), ": ", wrong);
    }
    wrong = FirstText(wrong, world_);
    return wrong.empty() ? absl::OkStatus() : CommunicationError(wrong);
  }

  double Once(BenchOp op, size_t who, int64_t calls, const BenchTensors& tensors) {
    world_.Barrier("bench.sample");
    const Clock::time_point start = Clock::now();
    for (int64_t call = 0; call < calls; ++call) contestants_[who]->Call(op, tensors);
    const double seconds =
        std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(calls);
    return op == BenchOp::kPingPong ? 0.5 * seconds : seconds;
  }

  // The slowest rank's time of each sample, the same on every rank: by contestant, who take turns.
  std::vector<std::vector<double>> Samples(BenchOp op, int64_t calls, const BenchTensors& tensors) {
    double round = 0;
    for (int warm = 0; warm < 2; ++warm) {
      round = 0;
      for (size_t who = 0; who < contestants_.size(); ++who) round += Once(op, who, calls, tensors);
    }
    const int64_t samples = SamplesFor(round * static_cast<double>(calls));
    const auto n = static_cast<int64_t>(contestants_.size());
    const at::Tensor times = at::empty({n, samples}, at::kDouble);
    auto time = times.accessor<double, 2>();
    for (int64_t sample = 0; sample < samples; ++sample) {
      for (int64_t who = 0; who < n; ++who)
        time[who][sample] = Once(op, static_cast<size_t>(who), calls, tensors);
    }
    world_.AllReduce(times, ReduceOp::kMax, "bench.times");
    std::vector<std::vector<double>> result;
    for (int64_t who = 0; who < n; ++who) {
      const double* row = times.data_ptr<double>() + who * samples;
      result.emplace_back(row, row + samples);
      // Clocks have a resolution, and a time of 0 has no bandwidth.
      for (double& t : result.back()) t = std::max(t, 1e-9);
    }
    return result;
  }

  // Agreed on by all ranks.
  int64_t SamplesFor(double seconds_a_round) {
    if (options_.iterations > 0) return options_.iterations;
    const at::Tensor slowest = at::full({1}, seconds_a_round, at::kDouble);
    world_.AllReduce(slowest, ReduceOp::kMax, "bench.samples");
    const double fit = options_.seconds / std::max(slowest.item<double>(), 1e-9);
    return std::clamp(static_cast<int64_t>(std::min(fit, 1e9)), kFewestSamples, kMostSamples);
  }

  const CommBenchOptions& options_;
  Communicator& world_;
  std::unique_ptr<Communicator> own_;
  Contestants contestants_;
  LinkAxis links_;
};

// Whether every host has memory for its ranks' tensors.
absl::Status CheckMemory(const CommBenchOptions& options, int ranks_on_host, Communicator& world) {
  const int64_t need = CommBenchBytes(options) * ranks_on_host, free = AvailableMemory();
  absl::Status enough;
  if (free >= 0 && need > free) {
    enough = EnvironmentError(
        absl::StrCat("the largest size, ", FormatBinaryBytes(static_cast<double>(options.sizes.back())),
                     ", needs ", FormatBinaryBytes(static_cast<double>(need)), " for the ", ranks_on_host,
                     " ranks on host ", HostName(), ", which has ",
                     FormatBinaryBytes(static_cast<double>(free)), " left; choose smaller --sizes"));
  }
  return AgreeOnStatus(enough, world);
}

}  // namespace

int64_t CommBenchBytes(const CommBenchOptions& options) {
  constexpr int64_t kTensors = 3;  // BenchTensors, at most
  const int64_t largest = options.sizes.empty() ? 0 : options.sizes.back();
  return largest > INT64_MAX / 4096 / kTensors ? INT64_MAX / 4096 : kTensors * largest;
}

absl::StatusOr<CommBenchResult> BenchComm(const Mesh& mesh, const CommBenchOptions& options,
                                          Communicator& world, const RankEnvironment& environment,
                                          const BenchProgress& progress) {
  if (absl::Status enough = CheckMemory(options, environment.ranks_on_host, world); !enough.ok())
    return enough;
  CommBenchResult result;
  result.links = DescribeMachine();
  result.links.backend = environment.backend;
  result.links.ranks_per_host = environment.ranks_on_host;
  result.links.mesh = mesh.degrees();
  result.links.dtype = options.dtype;
  result.links.asynchronous = options.asynchronous;
  int64_t cells = 0;
  for (const BenchOp op : options.ops) {
    cells += op == BenchOp::kBarrier ? 1 : static_cast<int64_t>(options.sizes.size());
  }
  cells *= static_cast<int64_t>(options.axes.size());
  int64_t done = 0;
  for (const BenchAxis& axis : options.axes) {
    AxisBench bench(axis, options, mesh, world);
    LinkAxis ours = bench.links(), mpi = ours;
    for (const BenchOp op : options.ops) {
      std::vector<LinkCurve> curves(bench.contestants());
      for (LinkCurve& curve : curves) curve.op = op;
      const std::vector<int64_t> sizes = op == BenchOp::kBarrier ? std::vector<int64_t>{0} : options.sizes;
      for (const int64_t bytes : sizes) {
        if (absl::Status measured = bench.Measure(op, bytes, &curves); !measured.ok()) return measured;
        if (world.rank() == 0 && progress) progress(++done, cells);
      }
      for (LinkCurve& curve : curves) Fit(&curve);
      ours.curves.push_back(curves[0]);
      if (options.compare_mpi) mpi.curves.push_back(curves[1]);
    }
    result.links.axes.push_back(std::move(ours));
    if (options.compare_mpi) result.mpi.push_back(std::move(mpi));
  }
  return result;
}

}  // namespace orthant
