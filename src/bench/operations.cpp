#include "orthant/bench/operations.h"

namespace orthant {
namespace {

constexpr std::array<std::string_view, kBenchOpCount> kNames = {
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "all_to_all_split", "broadcast", "reduce",
    "scatter",    "gather",     "send_recv",      "ping_pong",  "barrier",          "copy"};

}  // namespace

std::string_view BenchOpName(BenchOp op) {
  return kNames[static_cast<size_t>(op)];
}

std::optional<BenchOp> BenchOpNamed(std::string_view name) {
  for (const BenchOp op : kBenchOps) {
    if (BenchOpName(op) == name) return op;
  }
  return std::nullopt;
}

bool HasSlices(BenchOp op) {
  switch (op) {
    case BenchOp::kAllGather:
    case BenchOp::kReduceScatter:
    case BenchOp::kAllToAll:
    case BenchOp::kAllToAllSplit:
    case BenchOp::kScatter:
    case BenchOp::kGather:
      return true;
    default:
      return false;
  }
}

bool Sums(BenchOp op) {
  return op == BenchOp::kAllReduce || op == BenchOp::kReduceScatter || op == BenchOp::kReduce;
}

double BusFactor(BenchOp op, int64_t n) {
  const double others = static_cast<double>(n - 1) / static_cast<double>(n);
  if (op == BenchOp::kAllReduce) return 2.0 * others;
  if (op == BenchOp::kBarrier) return 0.0;
  return HasSlices(op) ? others : 1.0;
}

}  // namespace orthant
