#include "support/fake_nccl_parts.h"

#include <algorithm>
#include <cstring>

namespace orthant::testing {
namespace {

template <typename T>
T Combined(T a, T b, NcclReduction op) {
  if (op == NcclReduction::kMax) return a < b ? b : a;
  if (op == NcclReduction::kMin) return b < a ? b : a;
  return static_cast<T>(a + b);
}

template <typename T>
std::vector<std::byte> ReducedAs(const std::vector<std::vector<std::byte>>& inputs, size_t count,
                                 NcclReduction op) {
  const size_t n = inputs.size();
  std::vector<std::byte> result(count * sizeof(T));
  const auto at = [&](size_t rank, size_t i) { return reinterpret_cast<const T*>(inputs[rank].data())[i]; };
  for (size_t i = 0; i < count; ++i) {
    const size_t first = (i * n / count + 1) % n;
    T value = at(first, i);
    for (size_t hop = 1; hop < n; ++hop) value = Combined(value, at((first + hop) % n, i), op);
    reinterpret_cast<T*>(result.data())[i] = value;
  }
  return result;
}

std::vector<std::byte> Reduced(const std::vector<std::vector<std::byte>>& inputs, size_t count, NcclType type,
                               NcclReduction op) {
  switch (type) {
    case NcclType::kInt64:
      return ReducedAs<int64_t>(inputs, count, op);
    case NcclType::kFloat16:
      return ReducedAs<c10::Half>(inputs, count, op);
    case NcclType::kFloat32:
      return ReducedAs<float>(inputs, count, op);
    case NcclType::kFloat64:
      return ReducedAs<double>(inputs, count, op);
    case NcclType::kBfloat16:
      return ReducedAs<c10::BFloat16>(inputs, count, op);
  }
  return {};
}

}  // namespace

const char* ToString(FakeCall call) {
  constexpr const char* kNames[] = {"all_reduce",     "reduce", "broadcast", "all_gather",
                                    "reduce_scatter", "send",   "recv"};
  return kNames[static_cast<size_t>(call)];
}

size_t SizeOf(NcclType type) {
  switch (type) {
    case NcclType::kFloat16:
    case NcclType::kBfloat16:
      return 2;
    case NcclType::kFloat32:
      return 4;
    case NcclType::kInt64:
    case NcclType::kFloat64:
      return 8;
  }
  return 0;
}

void MoveCollective(const std::vector<FakePart*>& parts) {
  const FakePart& first = *parts[0];
  const size_t n = parts.size();
  const size_t bytes = first.count * SizeOf(first.type);
  const bool whole = first.call == FakeCall::kReduceScatter;  // each gives a share for every rank
  // Copies: an output may be one of the inputs.
  std::vector<std::vector<std::byte>> inputs;
  for (const FakePart* part : parts) {
    const auto* data = static_cast<const std::byte*>(part->send);
    inputs.emplace_back(data, data + (whole ? n : 1) * bytes);
  }
  const auto write = [](void* to, const std::byte* from, size_t size) {
    if (size != 0) std::memcpy(to, from, size);
  };
  switch (first.call) {
    case FakeCall::kAllReduce:
    case FakeCall::kReduce: {
      const std::vector<std::byte> sum = Reduced(inputs, first.count, first.type, first.reduction);
      for (size_t rank = 0; rank < n; ++rank) {
        if (first.call == FakeCall::kReduce && static_cast<int>(rank) != first.peer) continue;
        write(parts[rank]->receive, sum.data(), bytes);
      }
      return;
    }
    case FakeCall::kReduceScatter: {
      const std::vector<std::byte> sum = Reduced(inputs, n * first.count, first.type, first.reduction);
      for (size_t rank = 0; rank < n; ++rank) write(parts[rank]->receive, sum.data() + rank * bytes, bytes);
      return;
    }
    case FakeCall::kBroadcast:
      for (const FakePart* part : parts) {
        write(part->receive, inputs[static_cast<size_t>(first.peer)].data(), bytes);
      }
      return;
    case FakeCall::kAllGather:
      for (const FakePart* part : parts) {
        for (size_t from = 0; from < n; ++from) {
          write(static_cast<std::byte*>(part->receive) + from * bytes, inputs[from].data(), bytes);
        }
      }
      return;
    case FakeCall::kSend:
    case FakeCall::kRecv:
      return;
  }
}

void MoveMessage(const FakePart& send, const FakePart& receive) {
  const size_t count = std::min(send.count, receive.count);
  if (count != 0) std::memmove(receive.receive, send.send, count * SizeOf(send.type));
}

}  // namespace orthant::testing
