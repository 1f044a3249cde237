// The conformance suite: every operation, blocking and asynchronous, on every dtype, size and group shape,
// against a plain computation of what must come out. The same file runs on every backend.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "support/ranks.h"

namespace orthant::testing {
namespace {

// Small whole numbers, exact in every dtype, different for every rank and position.
at::Tensor Fill(int rank, int64_t size, at::ScalarType dtype) {
  const at::Tensor index = at::arange(size, at::kLong);
  return ((index * 7 + rank * 3) % 11 - 5 + rank).to(dtype);
}

at::Tensor Combine(const at::Tensor& a, const at::Tensor& b, ReduceOp op) {
  if (op == ReduceOp::kMax) return at::maximum(a, b);
  if (op == ReduceOp::kMin) return at::minimum(a, b);
  return a + b;
}

at::Tensor Reduced(int ranks, int64_t size, at::ScalarType dtype, ReduceOp op) {
  at::Tensor total = Fill(0, size, dtype);
  for (int rank = 1; rank < ranks; ++rank) total = Combine(total, Fill(rank, size, dtype), op);
  return total;
}

void ExpectEqual(const at::Tensor& actual, const at::Tensor& expected, const std::string& what) {
  EXPECT_TRUE(at::equal(actual, expected))
      << what << " of " << expected.numel() << " " << expected.scalar_type() << " differs";
}

constexpr at::ScalarType kDtypes[] = {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf, at::kLong};
// 0, 1, odd, eager, and large enough to be split into pieces.
constexpr int64_t kSizes[] = {0, 1, 7, 255, 1031, 20011};
constexpr ReduceOp kOps[] = {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin};

// Runs `check` for every dtype and size on the whole world and on subgroups of it.
using Check = void (*)(Communicator& group, at::ScalarType dtype, int64_t size, bool async);

void Everywhere(int ranks, Check check) {
  RunRanks(ranks, [check](Communicator& world) {
    const auto all = [check](Communicator& group) {
      for (const at::ScalarType dtype : kDtypes) {
        for (const int64_t size : kSizes) {
          check(group, dtype, size, false);
          check(group, dtype, size, true);
        }
      }
    };
    all(world);
    if (world.size() < 4) return;
    // Halves as neighbours, then every other rank: two groups at work at the same time.
    const int n = world.size();
    std::vector<int> block;
    std::vector<int> stride;
    for (int i = 0; i < n; ++i) {
      if (i / (n / 2) == world.rank() / (n / 2)) block.push_back(i);
      if (i % 2 == world.rank() % 2) stride.push_back(i);
    }
    all(*world.Subgroup(block, "block"));
    all(*world.Subgroup(stride, "stride"));
  });
}

class Conformance : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Conformance, ::testing::Values(1, 2, 3, 4, 8),
                         ::testing::PrintToStringParamName());

TEST_P(Conformance, AllReduce) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    for (const ReduceOp op : kOps) {
      const at::Tensor tensor = Fill(group.rank(), size, dtype);
      async ? group.AllReduceAsync(tensor, op, "t").Wait() : group.AllReduce(tensor, op, "t");
      ExpectEqual(tensor, Reduced(group.size(), size, dtype, op), "all_reduce");
    }
  });
}

TEST_P(Conformance, Reduce) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    const int root = static_cast<int>(size) % group.size();
    const at::Tensor tensor = Fill(group.rank(), size, dtype);
    async ? group.ReduceAsync(tensor, ReduceOp::kSum, root, "t").Wait()
          : group.Reduce(tensor, ReduceOp::kSum, root, "t");
    ExpectEqual(tensor,
                group.rank() == root ? Reduced(group.size(), size, dtype, ReduceOp::kSum)
                                     : Fill(group.rank(), size, dtype),
                "reduce");
  });
}

TEST_P(Conformance, Broadcast) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    for (int root = 0; root < group.size(); ++root) {
      const at::Tensor tensor = Fill(group.rank(), size, dtype);
      async ? group.BroadcastAsync(tensor, root, "t").Wait() : group.Broadcast(tensor, root, "t");
      ExpectEqual(tensor, Fill(root, size, dtype), "broadcast");
    }
  });
}

TEST_P(Conformance, AllGather) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    std::vector<at::Tensor> parts;
    for (int rank = 0; rank < group.size(); ++rank) parts.push_back(Fill(rank, size, dtype));
    const at::Tensor expected = at::cat(parts);
    for (const bool in_place : {false, true}) {
      const at::Tensor output = at::full({size * group.size()}, -9, dtype);
      at::Tensor input = Fill(group.rank(), size, dtype);
      if (in_place) input = output.narrow(0, group.rank() * size, size).copy_(input);
      async ? group.AllGatherAsync(output, input, "t").Wait() : group.AllGather(output, input, "t");
      ExpectEqual(output, expected, in_place ? "all_gather in place" : "all_gather");
    }
  });
}

TEST_P(Conformance, ReduceScatter) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    const int64_t total = size * group.size();
    for (const ReduceOp op : kOps) {
      const at::Tensor expected =
          Reduced(group.size(), total, dtype, op).narrow(0, group.rank() * size, size).contiguous();
      for (const bool in_place : {false, true}) {
        const at::Tensor input = Fill(group.rank(), total, dtype);
        const at::Tensor output =
            in_place ? input.narrow(0, group.rank() * size, size) : at::full({size}, -9, dtype);
        async ? group.ReduceScatterAsync(output, input, op, "t").Wait()
              : group.ReduceScatter(output, input, op, "t");
        ExpectEqual(output, expected, in_place ? "reduce_scatter in place" : "reduce_scatter");
      }
    }
  });
}

TEST_P(Conformance, AllToAll) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    const at::Tensor input = Fill(group.rank(), size * group.size(), dtype);
    const at::Tensor output = at::full({size * group.size()}, -9, dtype);
    async ? group.AllToAllAsync(output, input, "t").Wait() : group.AllToAll(output, input, "t");
    std::vector<at::Tensor> parts;
    for (int from = 0; from < group.size(); ++from) {
      parts.push_back(Fill(from, size * group.size(), dtype).narrow(0, group.rank() * size, size));
    }
    ExpectEqual(output, at::cat(parts), "all_to_all");
  });
}

// What `from` sends to `to`: uneven, some of it nothing.
int64_t Share(int from, int to, int64_t size) {
  return (from + 2 * to) % 3 * size / 2;
}

TEST_P(Conformance, AllToAllSplit) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    const int me = group.rank();
    std::vector<int64_t> sends;
    std::vector<int64_t> receives;
    int64_t sent = 0;
    std::vector<at::Tensor> parts = {at::empty({0}, dtype)};
    for (int peer = 0; peer < group.size(); ++peer) {
      sends.push_back(Share(me, peer, size));
      sent += sends.back();
      receives.push_back(Share(peer, me, size));
      int64_t total = 0;
      int64_t before = 0;
      for (int to = 0; to < group.size(); ++to) {
        if (to < me) before += Share(peer, to, size);
        total += Share(peer, to, size);
      }
      parts.push_back(Fill(peer, total, dtype).narrow(0, before, receives.back()));
    }
    const at::Tensor expected = at::cat(parts);
    const at::Tensor input = Fill(me, sent, dtype);
    const at::Tensor output = at::full({expected.numel()}, -9, dtype);
    async ? group.AllToAllSplitAsync(output, receives, input, sends, "t").Wait()
          : group.AllToAllSplit(output, receives, input, sends, "t");
    ExpectEqual(output, expected, "all_to_all_split");
  });
}

TEST_P(Conformance, ScatterAndGather) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    const int root = static_cast<int>(size + 1) % group.size();
    const bool is_root = group.rank() == root;
    const at::Tensor whole = Fill(root, size * group.size(), dtype);
    const at::Tensor output = at::full({size}, -9, dtype);
    const at::Tensor input = is_root ? whole : at::Tensor();
    async ? group.ScatterAsync(output, input, root, "t").Wait() : group.Scatter(output, input, root, "t");
    ExpectEqual(output, whole.narrow(0, group.rank() * size, size).contiguous(), "scatter");

    const at::Tensor gathered = is_root ? at::full({size * group.size()}, -9, dtype) : at::Tensor();
    async ? group.GatherAsync(gathered, output, root, "t").Wait() : group.Gather(gathered, output, root, "t");
    if (is_root) ExpectEqual(gathered, whole, "gather");
  });
}

TEST_P(Conformance, SendAndRecvAroundTheRing) {
  Everywhere(GetParam(), [](Communicator& group, at::ScalarType dtype, int64_t size, bool async) {
    const int n = group.size();
    if (n == 1) return;
    const int next = (group.rank() + 1) % n;
    const int before = (group.rank() + n - 1) % n;
    const at::Tensor sent = Fill(group.rank(), size, dtype);
    const at::Tensor received = at::full({size}, -9, dtype);
    if (async) {
      Work receive = group.RecvAsync(received, before, "t");
      Work send = group.SendAsync(sent, next, "t");
      send.Wait();
      receive.Wait();
    } else if (group.rank() == 0) {  // a blocking ring needs one who begins
      group.Send(sent, next, "t");
      group.Recv(received, before, "t");
    } else {
      group.Recv(received, before, "t");
      group.Send(sent, next, "t");
    }
    ExpectEqual(received, Fill(before, size, dtype), "send and recv");
  });
}

TEST_P(Conformance, Barrier) {
  RunRanks(GetParam(), [](Communicator& world) {
    for (int i = 0; i < 50; ++i) world.Barrier("t");
    EXPECT_EQ(world.bytes_sent(), 0);
  });
}

// Rounding shows the order of the sum: rank order in fp32 and fp64, fp32 accumulation and one rounding in
// bf16.
TEST_P(Conformance, SumsInRankOrderWithOneRounding) {
  RunRanks(GetParam(), [](Communicator& world) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
      const bool narrow = dtype == at::kBFloat16 || dtype == at::kHalf;
      for (const int64_t size : {int64_t{33}, int64_t{20011}}) {
        const auto part = [&](int rank) {
          const at::Tensor x = at::arange(size, at::kDouble) * 0.37 + rank * 1.7;
          return (at::sin(x) * at::pow(10.0, at::full({size}, rank % 3 - 1, at::kDouble))).to(dtype);
        };
        at::Tensor expected = part(0).to(narrow ? at::kFloat : dtype);
        for (int rank = 1; rank < world.size(); ++rank)
          expected = expected + part(rank).to(expected.scalar_type());
        expected = expected.to(dtype);
        const at::Tensor tensor = part(world.rank()).clone();
        world.AllReduce(tensor, ReduceOp::kSum, "order");
        ExpectEqual(tensor, expected, "all_reduce in rank order");
      }
    }
  });
}

}  // namespace
}  // namespace orthant::testing
