// Operation: one communication as the backends see it, with its arguments already checked.
// Communicator makes it; Communicator::Do and DoAsync carry it out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "c10/core/ScalarType.h"
#include "orthant/comm/label.h"

namespace orthant {

enum class ReduceOp : uint8_t { kSum, kMax, kMin };

enum class OpKind : uint8_t {
  kAllReduce,
  kReduce,
  kBroadcast,
  kAllGather,
  kReduceScatter,
  kAllToAll,
  kAllToAllSplit,
  kScatter,
  kGather,
  kSend,
  kRecv,
  kBarrier,
};

const char* ToString(OpKind kind);             // "all_reduce"
const char* ToString(ReduceOp op);             // "sum"
std::string DtypeName(c10::ScalarType dtype);  // "fp32", as in the configuration

struct Operation {
  OpKind kind = OpKind::kBarrier;
  ReduceOp reduce = ReduceOp::kSum;
  c10::ScalarType dtype = c10::ScalarType::Float;
  int peer = -1;  // root of a rooted collective; the other end of send and recv
  // Elements of one rank's share: the whole tensor for all_reduce, reduce, broadcast, send and recv; the
  // slice of one rank for the others; 0 for all_to_all_split, whose shares are in the two lists.
  int64_t count = 0;
  const void* input = nullptr;  // equal to `output` for the operations in place
  void* output = nullptr;
  const std::vector<int64_t>* input_counts = nullptr;  // all_to_all_split: elements to each rank
  const std::vector<int64_t>* output_counts = nullptr;
  Label label;
  uint64_t sequence =
      0;  // position among this group's collectives, or among one sender's messages to a receiver
  uint64_t ticket = 0;  // the flight recorder's entry
  int64_t sent = 0;     // bytes that this rank sends, as Communicator::bytes_sent counts them

  int64_t element_size() const { return static_cast<int64_t>(c10::elementSize(dtype)); }
  bool point_to_point() const { return kind == OpKind::kSend || kind == OpKind::kRecv; }
};

// "all_reduce 'attn.out layer=7' (sum, 128 fp32)"
std::string Describe(const Operation& op);

}  // namespace orthant
