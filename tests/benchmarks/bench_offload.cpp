// The offload files' speed: 256 MiB of slots walked as the optimiser does (read ahead, change, write back),
// by io_uring and by threads, one after the other, several rounds.
//   bench_offload FOLDER [MIB_A_SLOT] [SLOTS] [BUFFERS]
// "io" changes nothing but one element of each slot; "update" adds to all of them, as an optimiser would.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "data_parallel/stores.h"
#include "orthant/core/status.h"

namespace {

using orthant::AsyncFile;

struct Figures {
  double best = 0, sum = 0;
  int rounds = 0;
};

// GB/s, read and written together, of one walk.
double Walk(orthant::StateStore& store, int slots, bool update) {
  const int64_t before = store.bytes_read() + store.bytes_written();
  const auto start = std::chrono::steady_clock::now();
  store.Prefetch(0);
  for (int i = 0; i < slots; ++i) {
    at::Tensor tensor = store.Open(i);
    if (i + 1 < slots) store.Prefetch(i + 1);
    (update ? tensor : tensor.narrow(0, 0, 1)).add_(1);
    store.Close(i, true);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return static_cast<double>(store.bytes_read() + store.bytes_written() - before) / seconds.count() * 1e-9;
}

void Run(const std::string& folder, int64_t mib, int slots, int buffers) {
  const std::vector<AsyncFile::Engine> engines = {AsyncFile::Engine::kUring, AsyncFile::Engine::kThreads};
  std::printf("%lld MiB in %d slots, %d buffers, GB/s read + written\n", static_cast<long long>(mib * slots),
              slots, buffers);
  std::printf("%-22s %-8s %8s %8s\n", "engine", "work", "mean", "best");
  for (const bool update : {false, true}) {
    std::vector<Figures> figures(engines.size());
    std::vector<std::string> names(engines.size());
    constexpr int kRounds = 6;
    for (int round = 0; round < kRounds; ++round) {  // in turn, so that both see the same disk
      for (size_t e = 0; e < engines.size(); ++e) {
        const auto store = orthant::MakeNvmeStore(
            {.tier = orthant::Tier::kNvme, .path = folder, .name = "bench", .buffers = buffers}, engines[e]);
        for (int i = 0; i < slots; ++i) store->Add(at::zeros({mib << 18}));
        names[e] = store->Describe().substr(store->Describe().rfind('('));
        Walk(*store, slots, update);  // first writes to reserved blocks
        const double rate = Walk(*store, slots, update);
        figures[e].best = std::max(figures[e].best, rate);
        figures[e].sum += rate;
        ++figures[e].rounds;
      }
    }
    for (size_t e = 0; e < engines.size(); ++e) {
      std::printf("%-22s %-8s %8.2f %8.2f\n", names[e].c_str(), update ? "update" : "io",
                  figures[e].sum / figures[e].rounds, figures[e].best);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_offload FOLDER [MIB_A_SLOT] [SLOTS] [BUFFERS]\n");
    return 2;
  }
  try {
    Run(argv[1], argc > 2 ? std::atoi(argv[2]) : 16, argc > 3 ? std::atoi(argv[3]) : 16,
        argc > 4 ? std::atoi(argv[4]) : 3);
  } catch (const orthant::StatusError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return static_cast<int>(orthant::ExitCodeOf(error.status()));
  }
  return 0;
}
