// bench_comm [RANKS] [MAX_MB]: the time of every collective, 4 KB to 64 MB, against memcpy of as many bytes.
// Run alone it measures `local` (ranks are threads); under mpirun it measures `mpi`. A table, then one line
// of JSON.
#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/comm/local.h"
#include "orthant/comm/mpi.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;

struct Row {
  std::string name;
  int64_t bytes = 0;
  double best = 0;  // seconds
  double median = 0;
};

// Times `call` on all ranks at once: each repetition starts together and ends when the last rank is done.
Row Measure(Communicator& world, const char* name, int64_t bytes, const std::function<void()>& call) {
  const int repeats = bytes >= (8 << 20) ? 9 : bytes >= (256 << 10) ? 40 : 300;
  // Small operations back to back, as a training step issues them; the barrier would cost as much as they do.
  const int batch = bytes >= (256 << 10) ? 1 : 10;
  std::vector<double> times;
  const at::Tensor slowest = at::zeros({1}, at::kDouble);
  for (int i = -2; i < repeats; ++i) {
    world.Barrier("bench");
    const auto start = Clock::now();
    for (int j = 0; j < batch; ++j) call();
    slowest.fill_(std::chrono::duration<double>(Clock::now() - start).count() / batch);
    world.AllReduce(slowest, ReduceOp::kMax, "bench");
    if (i >= 0) times.push_back(slowest.item<double>());
  }
  std::sort(times.begin(), times.end());
  return {name, bytes, times.front(), times[times.size() / 2]};
}

Row MeasureCopy(Communicator& world, int64_t bytes, const at::Tensor& to, const at::Tensor& from) {
  return Measure(world, "memcpy", bytes,
                 [&] { std::memcpy(to.data_ptr(), from.data_ptr(), static_cast<size_t>(bytes)); });
}

// `bytes`: the whole tensor of a collective, all ranks' shares together where it has shares.
std::vector<Row> MeasureSize(Communicator& world, int64_t bytes) {
  const int n = world.size();
  const int64_t whole_size = bytes / 4 / n * n;
  const int64_t share_size = whole_size / n;
  const at::Tensor whole = at::ones({whole_size});
  const at::Tensor other = at::ones({whole_size});
  const at::Tensor share = at::ones({share_size});
  const std::vector<int64_t> even(n, share_size);
  const bool root = world.rank() == 0;
  std::vector<Row> rows = {MeasureCopy(world, whole_size * 4, other, whole)};
  const auto add = [&](const char* name, const std::function<void()>& call) {
    rows.push_back(Measure(world, name, bytes, call));
  };
  add("all_reduce", [&] { world.AllReduce(whole, ReduceOp::kMax, "bench"); });
  add("all_reduce_async", [&] { world.AllReduceAsync(whole, ReduceOp::kMax, "bench").Wait(); });
  const at::Tensor half = whole.to(at::kBFloat16);
  add("all_reduce_bf16_same_count", [&] { world.AllReduce(half, ReduceOp::kMax, "bench"); });
  add("reduce", [&] { world.Reduce(whole, ReduceOp::kMax, 0, "bench"); });
  add("broadcast", [&] { world.Broadcast(whole, 0, "bench"); });
  add("all_gather", [&] { world.AllGather(whole, share, "bench"); });
  add("reduce_scatter", [&] { world.ReduceScatter(share, whole, ReduceOp::kMax, "bench"); });
  add("all_to_all", [&] { world.AllToAll(other, whole, "bench"); });
  add("all_to_all_split", [&] { world.AllToAllSplit(other, even, whole, even, "bench"); });
  add("scatter", [&] { world.Scatter(share, root ? whole : at::Tensor(), 0, "bench"); });
  add("gather", [&] { world.Gather(root ? whole : at::Tensor(), share, 0, "bench"); });
  if (n > 1) {
    add("send_recv", [&] {
      if (world.rank() == 0) world.Send(whole, 1, "bench");
      if (world.rank() == 1) world.Recv(whole, 0, "bench");
    });
  }
  return rows;
}

void Bench(Communicator& world, const char* backend, int64_t max_bytes) {
  const auto barrier = Measure(world, "barrier", 4, [&] { world.Barrier("bench"); });
  std::vector<Row> rows = {barrier};
  for (int64_t bytes = 4 << 10; bytes <= max_bytes; bytes *= 4) {
    for (Row& row : MeasureSize(world, bytes)) rows.push_back(std::move(row));
    if (bytes < max_bytes && bytes * 4 > max_bytes) bytes = max_bytes / 4;
  }
  if (world.rank() != 0) return;
  std::printf("%s, %d ranks; microseconds; GB/s of the tensor's bytes\n", backend, world.size());
  std::printf("%-28s %12s %12s %12s %10s\n", "operation", "bytes", "best", "median", "GB/s");
  std::string json =
      absl::StrFormat("{\"backend\": \"%s\", \"ranks\": %d, \"rows\": [", backend, world.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    const std::string rate = absl::StrFormat("%.2f", static_cast<double>(row.bytes) / row.median * 1e-9);
    std::printf("%-28s %12ld %12.2f %12.2f %10s\n", row.name.c_str(), static_cast<long>(row.bytes),
                row.best * 1e6, row.median * 1e6, rate.c_str());
    absl::StrAppend(&json, i == 0 ? "" : ", ",
                    absl::StrFormat("{\"op\": \"%s\", \"bytes\": %d, \"best_us\": %.3f, \"median_us\": %.3f}",
                                    row.name, row.bytes, row.best * 1e6, row.median * 1e6));
  }
  std::printf("%s]}\n", json.c_str());
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 2;
  const int64_t max_bytes = (argc > 2 ? std::atoll(argv[2]) : 64) << 20;
  if (ranks < 1 || max_bytes < 1) {
    std::fprintf(stderr,
                 "usage: bench_comm [RANKS] [MAX_MB]; under mpirun RANKS is the number of processes\n");
    return 2;
  }
  if (!MpiRuntime::UnderLauncher()) {
    RunLocal(ranks, LocalOptions(), [max_bytes](Communicator& world) { Bench(world, "local", max_bytes); });
    return 0;
  }
  MpiOptions options;
  options.shared_memory = std::getenv("BENCH_COMM_MESSAGES") == nullptr;
  if (const char* bytes = std::getenv("BENCH_COMM_SLOT_BYTES")) options.slot_bytes = std::atoll(bytes);
  auto runtime = MpiRuntime::Start(options);
  if (!runtime.ok()) {
    std::fprintf(stderr, "%s\n", runtime.status().ToString().c_str());
    return 3;
  }
  at::set_num_threads(1);
  const auto world = (*runtime)->World();
  Bench(*world, "mpi", max_bytes);
  return 0;
}

}  // namespace
}  // namespace orthant

int main(int argc, char** argv) {
  return orthant::Main(argc, argv);
}
