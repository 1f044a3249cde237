// What a mesh of 10^6 ranks costs: time per query, and resident memory before and after the mesh is made.
//   bench_mesh [queries per row]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "orthant/mesh/mesh.h"

namespace orthant {
namespace {

// Resident memory of this process in KiB; -1 where the system does not say.
long ResidentKiB() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::atol(line.c_str() + 6);
  }
  return -1;
}

// A walk over ranks that a cache or a branch predictor cannot learn.
int64_t NextRank(int64_t rank, int64_t world) {
  return (rank * 1103515245 + 12345) % world;
}

template <typename Query>
int64_t Time(const char* name, int64_t queries, int64_t world, const Query& query) {
  int64_t rank = 1, sum = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < queries; ++i) {
    rank = NextRank(rank, world);
    sum += query(rank);
  }
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  std::printf("  %-44s %8.1f ns\n", name, spent.count() / static_cast<double>(queries));
  return sum;
}

int64_t Run(int64_t queries) {
  const long before = ResidentKiB();
  const Mesh mesh({.data = 125, .tensor = 8, .pipeline = 50, .sequence = 20});
  const long after = ResidentKiB();
  std::printf("mesh of %lld ranks (%s), %lld queries a row\n", static_cast<long long>(mesh.world()),
              ToString(mesh.degrees()).c_str(), static_cast<long long>(queries));
  int64_t sum = 0;
  sum += Time("CoordinateOf", queries, mesh.world(), [&](int64_t r) { return mesh.CoordinateOf(r).data; });
  sum += Time("RankAt(CoordinateOf)", queries, mesh.world(),
              [&](int64_t r) { return mesh.RankAt(mesh.CoordinateOf(r)); });
  for (Axis axis : kAxes) {
    const std::string name = "GroupOf " + std::string(AxisName(axis));
    sum +=
        Time(name.c_str(), queries, mesh.world(), [&](int64_t r) { return mesh.GroupOf(r, {axis}).self(); });
  }
  sum += Time("GroupOf data x sequence, one member's rank", queries, mesh.world(), [&](int64_t r) {
    const Group group = mesh.GroupOf(r, {Axis::kData, Axis::kSequence});
    return group.rank(r % group.size());
  });
  sum += Time("EmbeddingPair", queries / 10 + 1, mesh.world(),
              [&](int64_t r) { return mesh.EmbeddingPair(r)[0]; });
  sum += Time("Map, 64 ranks shown", queries / 1000 + 1, mesh.world(),
              [&](int64_t) { return static_cast<int64_t>(mesh.Map(8).size()); });
  std::printf(
      "  the mesh: %zu bytes; resident memory: %ld KiB before, %ld KiB with it, %ld KiB after the queries\n",
      sizeof(Mesh), before, after, ResidentKiB());
  return sum;
}

}  // namespace
}  // namespace orthant

int main(int argc, char** argv) {
  const long long queries = argc > 1 ? std::atoll(argv[1]) : 1000000;
  if (queries < 1) {
    std::fprintf(stderr, "usage: bench_mesh [queries per row, at least 1]\n");
    return 2;
  }
  // The sum is printed so that no query can be optimised away.
  std::printf("  checksum %lld\n", static_cast<long long>(orthant::Run(queries)));
  return 0;
}
