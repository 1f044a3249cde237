// The check of results sees what is wrong: each operation's right result passes, and one changed element does
// not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "bench/contestant.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kElements = 24;

// What n ranks' tensors hold after `op`, worked out in the plainest way from what they hold before.
void CarryOut(BenchOp op, std::vector<BenchTensors>& ranks) {
  const int64_t n = static_cast<int64_t>(ranks.size()), share = kElements / n;
  const auto sum = [&] {
    at::Tensor total = at::zeros_like(ranks[0].whole);
    for (const BenchTensors& t : ranks) total += t.whole;
    return total;
  };
  const auto slice = [share](const at::Tensor& whole, int64_t i) {
    return whole.narrow(0, i * share, share);
  };
  std::vector<at::Tensor> before;
  for (const BenchTensors& t : ranks) before.push_back(t.whole.clone());
  const at::Tensor total = sum();
  for (int64_t r = 0; r < n; ++r) {
    const BenchTensors& t = ranks[static_cast<size_t>(r)];
    const auto from = [&](int64_t rank) { return before[static_cast<size_t>(rank)]; };
    if (op == BenchOp::kAllReduce || (op == BenchOp::kReduce && r == 0)) t.whole.copy_(total);
    if (op == BenchOp::kBroadcast) t.whole.copy_(from(0));
    if (op == BenchOp::kReduceScatter) t.share.copy_(slice(total, r));
    if (op == BenchOp::kScatter) t.share.copy_(slice(from(0), r));
    if (op == BenchOp::kSendRecv) t.other.copy_(from((r + n - 1) % n));
    if (op == BenchOp::kCopy) t.other.copy_(from(r));
    if (op == BenchOp::kPingPong && r == 0) t.other.copy_(from(n - 1));
    if (op == BenchOp::kPingPong && r == n - 1) t.other.copy_(from(0));
    for (int64_t j = 0; j < n; ++j) {
      if (op == BenchOp::kAllToAll || op == BenchOp::kAllToAllSplit)
        slice(t.other, j).copy_(slice(from(j), r));
      if (op == BenchOp::kAllGather || (op == BenchOp::kGather && r == 0)) {
        slice(t.whole, j).copy_(ranks[static_cast<size_t>(j)].share);
      }
    }
  }
}

const at::Tensor& ResultOf(BenchOp op, const BenchTensors& t) {
  switch (op) {
    case BenchOp::kReduceScatter:
    case BenchOp::kScatter:
      return t.share;
    case BenchOp::kAllToAll:
    case BenchOp::kAllToAllSplit:
    case BenchOp::kSendRecv:
    case BenchOp::kPingPong:
    case BenchOp::kCopy:
      return t.other;
    default:
      return t.whole;
  }
}

class Pattern : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(Pattern, RightResultsPassAndWrongOnesDoNot) {
  for (const BenchOp op : kBenchOps) {
    if (op == BenchOp::kBarrier) continue;
    SCOPED_TRACE(std::string(BenchOpName(op)));
    constexpr int kRanks = 4;
    std::vector<BenchTensors> ranks;
    for (int r = 0; r < kRanks; ++r) ranks.emplace_back(kElements, kRanks, GetParam());
    for (int r = 0; r < kRanks; ++r) FillPattern(op, r, ranks[static_cast<size_t>(r)]);
    // Nothing was done yet: the last rank, which every operation brings something but gather, sees it. (In
    // reduce and gather it is the root.)
    const int looks = op == BenchOp::kReduce || op == BenchOp::kGather ? 0 : kRanks - 1;
    EXPECT_THAT(WrongResult(op, looks, kRanks, ranks[static_cast<size_t>(looks)]), HasSubstr("must be"));
    CarryOut(op, ranks);
    for (int r = 0; r < kRanks; ++r) {
      const BenchTensors& t = ranks[static_cast<size_t>(r)];
      EXPECT_EQ(WrongResult(op, r, kRanks, t), "") << "rank " << r;
    }
    const at::Tensor& result = ResultOf(op, ranks[static_cast<size_t>(looks)]);
    result.narrow(0, result.numel() - 1, 1).add_(1);
    EXPECT_THAT(WrongResult(op, looks, kRanks, ranks[static_cast<size_t>(looks)]),
                HasSubstr("element " + std::to_string(result.numel() - 1) + " is"));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Pattern, ::testing::Values(at::kFloat, at::kDouble, at::kBFloat16));

}  // namespace
}  // namespace orthant
