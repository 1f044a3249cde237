// Is what came out of an operation what must? Small whole numbers, exact in every type.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "ATen/ATen.h"
#include "ATen/Dispatch.h"
#include "absl/strings/str_format.h"
#include "bench/contestant.h"

namespace orthant {
namespace {

constexpr int64_t kPeriod = 11;
constexpr int64_t kMostChecked = int64_t{1}
                                 << 20;  // elements of a tensor; a larger one is checked at as many places

int64_t Value(int64_t rank, int64_t i) {
  return (7 * i + 3 * rank) % kPeriod;
}

void Fill(const at::Tensor& tensor, int rank) {
  AT_DISPATCH_ALL_TYPES_AND(at::kBFloat16, tensor.scalar_type(), "bench_fill", [&] {
    scalar_t* data = tensor.data_ptr<scalar_t>();
    for (int64_t i = 0; i < tensor.numel(); ++i)
      data[i] = static_cast<scalar_t>(static_cast<float>(Value(rank, i)));
  });
}

// Sums over the ranks of what stands at i.
std::array<int64_t, kPeriod> SumsOver(int ranks) {
  std::array<int64_t, kPeriod> sums{};
  for (int64_t i = 0; i < kPeriod; ++i) {
    for (int rank = 0; rank < ranks; ++rank) sums[static_cast<size_t>(i)] += Value(rank, i);
  }
  return sums;
}

std::string Compare(const at::Tensor& tensor, const std::function<int64_t(int64_t)>& expected) {
  std::string wrong;
  const int64_t stride = (tensor.numel() / kMostChecked) | 1;
  AT_DISPATCH_ALL_TYPES_AND(at::kBFloat16, tensor.scalar_type(), "bench_check", [&] {
    const scalar_t* data = tensor.data_ptr<scalar_t>();
    const auto look = [&](int64_t i) {
      const auto is = static_cast<double>(data[i]), must = static_cast<double>(expected(i));
      // Sums above 256 are rounded in bf16.
      const double allowed = tensor.scalar_type() == at::kBFloat16 && must > 256 ? must / 128 : 0.0;
      if (wrong.empty() && !(std::abs(is - must) <= allowed)) {
        wrong = absl::StrFormat("element %d is %g, but must be %g", i, is, must);
      }
    };
    for (int64_t i = 0; i < tensor.numel(); i += stride) look(i);
    if (tensor.numel() > 0) look(tensor.numel() - 1);
  });
  return wrong;
}

}  // namespace

void FillPattern(BenchOp op, int rank, const BenchTensors& t) {
  const bool from_shares = op == BenchOp::kAllGather || op == BenchOp::kGather;
  Fill(from_shares ? t.share : t.whole, rank);
  // What is not written to must not look right already.
  const bool to_share = op == BenchOp::kReduceScatter || op == BenchOp::kScatter;
  (from_shares ? t.whole : to_share ? t.share : t.other).fill_(kPeriod + 1);
}

std::string WrongResult(BenchOp op, int rank, int ranks, const BenchTensors& t) {
  const int64_t share = t.share.numel();
  const auto sums = SumsOver(ranks);
  const auto sum = [&sums](int64_t i) { return sums[static_cast<size_t>(i % kPeriod)]; };
  const auto of = [](int from) { return [from](int64_t i) { return Value(from, i); }; };
  const auto shares = [share](int64_t i) { return Value(i / share, i % share); };
  switch (op) {
    case BenchOp::kAllReduce:
      return Compare(t.whole, sum);
    case BenchOp::kReduce:
      return Compare(t.whole, rank == 0 ? std::function<int64_t(int64_t)>(sum) : of(rank));
    case BenchOp::kBroadcast:
      return Compare(t.whole, of(0));
    case BenchOp::kAllGather:
      return Compare(t.whole, shares);
    case BenchOp::kGather:
      return rank == 0 ? Compare(t.whole, shares) : "";
    case BenchOp::kReduceScatter:
      return Compare(t.share, [&](int64_t i) { return sum(rank * share + i); });
    case BenchOp::kScatter:
      return Compare(t.share, [&](int64_t i) { return Value(0, rank * share + i); });
    case BenchOp::kAllToAll:
    case BenchOp::kAllToAllSplit:
      return Compare(t.other, [&](int64_t i) { return Value(i / share, rank * share + i % share); });
    case BenchOp::kSendRecv:
      return Compare(t.other, of((rank + ranks - 1) % ranks));
    case BenchOp::kPingPong:
      if (rank != 0 && rank != ranks - 1) return "";
      return Compare(t.other, of(rank == 0 ? ranks - 1 : 0));
    case BenchOp::kCopy:
      return Compare(t.other, of(rank));
    case BenchOp::kBarrier:
      break;
  }
  return "";
}

}  // namespace orthant
