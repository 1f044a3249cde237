// What `orthant bench comm` can time, and how bytes and seconds become bandwidth. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace orthant {

enum class BenchOp : int {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kAllToAll,
  kAllToAllSplit,
  kBroadcast,
  kReduce,
  kScatter,
  kGather,
  kSendRecv,  // every rank sends to the next one of its group and receives from the one before
  kPingPong,  // from the group's first rank to its last and back; half of the way there and back
  kBarrier,   // no bytes
  kCopy,      // memcpy by each rank alone: what the machine has at that moment
};
inline constexpr int kBenchOpCount = 13;
inline constexpr std::array<BenchOp, kBenchOpCount> kBenchOps = {
    BenchOp::kAllReduce,     BenchOp::kAllGather, BenchOp::kReduceScatter, BenchOp::kAllToAll,
    BenchOp::kAllToAllSplit, BenchOp::kBroadcast, BenchOp::kReduce,        BenchOp::kScatter,
    BenchOp::kGather,        BenchOp::kSendRecv,  BenchOp::kPingPong,      BenchOp::kBarrier,
    BenchOp::kCopy};

std::string_view BenchOpName(BenchOp op);  // "all_reduce"
std::optional<BenchOp> BenchOpNamed(std::string_view name);

// The size of an operation is that of the largest tensor that any rank of the group gives or gets: the tensor
// of all_reduce, broadcast, reduce and messages; the whole of n ranks' slices where the operation has slices.

// Whether the tensor is made of one slice a rank, so that its elements must be a multiple of the ranks.
bool HasSlices(BenchOp op);
// Whether the operation adds tensors up.
bool Sums(BenchOp op);

// What turns algorithm bandwidth (size / time) into bus bandwidth, which does not depend on the number of
// ranks where the slowest link is the limit: the factors of nccl-tests (github.com/NVIDIA/nccl-tests,
// doc/PERFORMANCE.md): 2 (n-1)/n of an all-reduce; (n-1)/n of all_gather, reduce_scatter, all_to_all, gather
// and scatter; 1 of broadcast, reduce and messages. 1 for copy; 0 for a barrier. n >= 1.
double BusFactor(BenchOp op, int64_t n);

// What --ops says: names separated by commas, or "all". ConfigurationError names what was meant.
absl::StatusOr<std::vector<BenchOp>> ParseBenchOps(const std::string& text);

// What --sizes says, in bytes, ascending: "4KiB..64MiB", "1MiB,64MiB", "4096..65536,1 GiB": sizes, and ranges
// that go up by factors of 4 to their upper end, which belongs to them. ConfigurationError unless each is a
// positive multiple of `unit` bytes; `why` says what the unit is made of.
absl::StatusOr<std::vector<int64_t>> ParseBenchSizes(const std::string& text, int64_t unit,
                                                     const std::string& why);
// 4 KiB to 64 MiB by factors of 4, each as near below as `unit` allows.
std::vector<int64_t> DefaultBenchSizes(int64_t unit);

}  // namespace orthant
