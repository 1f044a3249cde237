// Collectives of more than fits into the memory where ranks meet, many groups and operations under way at
// once, and ranks that do not call the same. Some of it is particular to ranks that share memory.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "support/ranks.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Whether the ranks of a group look at what the others call without being told to (mpi_main.cpp).
bool RanksShareMemory() {
  return std::getenv("ORTHANT_TEST_MPI_MESSAGES") == nullptr &&
         std::getenv("ORTHANT_TEST_MPI_RANKS_PER_HOST") == nullptr;
}

// Numbers whose sum shows the order in which they were added.
at::Tensor Part(int rank, int64_t size, at::ScalarType dtype) {
  const at::Tensor x = at::arange(size, at::kDouble) * 0.37 + rank * 1.7;
  return (at::sin(x) * at::pow(10.0, at::full({size}, rank % 3 - 1, at::kDouble))).to(dtype);
}

at::Tensor SumInRankOrder(int ranks, int64_t size, at::ScalarType dtype) {
  const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor sum = Part(0, size, dtype).to(wide);
  for (int rank = 1; rank < ranks; ++rank) sum = sum + Part(rank, size, dtype).to(wide);
  return sum.to(dtype);
}

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no error";
}

class Staging : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Staging, ::testing::Values(2, 3, 4, 8), ::testing::PrintToStringParamName());

// Around the size of one piece of 4-byte elements, and many pieces, odd.
constexpr int64_t kLarge[] = {32768, 65537, 400003};

TEST_P(Staging, LargeSumsHaveTheBitsOfRankOrder) {
  RunRanks(GetParam(), [](Communicator& world) {
    const int n = world.size();
    const int me = world.rank();
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const int64_t size : kLarge) {
        const at::Tensor expected = SumInRankOrder(n, size, dtype);
        const at::Tensor all = Part(me, size, dtype).clone();
        world.AllReduce(all, ReduceOp::kSum, "all");
        EXPECT_TRUE(at::equal(all, expected)) << "all_reduce of " << size << " " << dtype;

        const int root = n - 1;
        const at::Tensor one = Part(me, size, dtype).clone();
        world.Reduce(one, ReduceOp::kSum, root, "one");
        EXPECT_TRUE(at::equal(one, me == root ? expected : Part(me, size, dtype))) << "reduce of " << size;

        const int64_t share = size / n;
        const at::Tensor input = Part(me, share * n, dtype).clone();
        const at::Tensor slice = input.narrow(0, me * share, share);  // in place
        world.ReduceScatter(slice, input, ReduceOp::kSum, "scattered");
        EXPECT_TRUE(at::equal(slice, SumInRankOrder(n, share * n, dtype).narrow(0, me * share, share)))
            << "reduce_scatter of " << size << " " << dtype;
      }
    }
  });
}

TEST_P(Staging, LargeSharesArriveWhole) {
  RunRanks(GetParam(), [](Communicator& world) {
    const int n = world.size();
    const int me = world.rank();
    for (const int64_t size : kLarge) {
      std::vector<at::Tensor> parts;
      for (int rank = 0; rank < n; ++rank) parts.push_back(Part(rank, size, at::kFloat));
      const at::Tensor whole = at::cat(parts);
      const at::Tensor gathered = at::full({size * n}, -9, at::kFloat);
      world.AllGather(gathered, parts[static_cast<size_t>(me)], "shares");
      EXPECT_TRUE(at::equal(gathered, whole)) << "all_gather of " << size;
      const at::Tensor in_place = at::full({size * n}, -9, at::kFloat);
      world
          .AllGatherAsync(in_place, in_place.narrow(0, me * size, size).copy_(parts[static_cast<size_t>(me)]),
                          "shares")
          .Wait();
      EXPECT_TRUE(at::equal(in_place, whole)) << "all_gather in place of " << size;
      for (int root = 0; root < n; ++root) {
        const at::Tensor tensor = Part(me, size, at::kFloat).clone();
        world.Broadcast(tensor, root, "one");
        EXPECT_TRUE(at::equal(tensor, parts[static_cast<size_t>(root)])) << "broadcast of " << size;
      }
      const at::Tensor exchanged = at::full({size * n}, -9, at::kFloat);
      world.AllToAll(exchanged, whole + me, "parts");
      std::vector<at::Tensor> mine;
      for (int rank = 0; rank < n; ++rank) mine.push_back(parts[static_cast<size_t>(me)] + rank);
      EXPECT_TRUE(at::equal(exchanged, at::cat(mine))) << "all_to_all of " << size;
      // Rank r sends (r + to) % 3 thirds to each.
      std::vector<int64_t> sends;
      std::vector<int64_t> receives;
      std::vector<at::Tensor> lots = {at::empty({0}, at::kFloat)};
      std::vector<at::Tensor> expected = {at::empty({0}, at::kFloat)};
      int64_t total = 0;
      for (int peer = 0; peer < n; ++peer) {
        sends.push_back((me + peer) % 3 * (size / 3));
        receives.push_back(sends.back());
        total += sends.back();
        lots.push_back(at::full({sends.back()}, 100 * me + peer, at::kFloat));
        expected.push_back(at::full({sends.back()}, 100 * peer + me, at::kFloat));
      }
      const at::Tensor output = at::full({total}, -9, at::kFloat);
      world.AllToAllSplit(output, receives, at::cat(lots), sends, "lots");
      EXPECT_TRUE(at::equal(output, at::cat(expected))) << "all_to_all_split of " << size;
    }
  });
}

// One member's tensors lie where the others cannot read them, as those of another library do.
TEST_P(Staging, TensorsOfAnotherAllocatorArriveToo) {
  RunRanks(GetParam(), [](Communicator& world) {
    const int n = world.size();
    const int me = world.rank();
    const int64_t size = 200003;
    std::vector<float> memory(static_cast<size_t>(size));
    at::Tensor tensor =
        me == n / 2 ? at::from_blob(memory.data(), {size}, at::kFloat) : at::empty({size}, at::kFloat);
    const at::Tensor numbers = at::arange(size, at::kFloat).remainder(1000);  // whose sums are exact
    tensor.copy_(numbers + me);
    world.AllReduce(tensor, ReduceOp::kSum, "sum");
    EXPECT_TRUE(at::equal(tensor, numbers * n + n * (n - 1) / 2));
    const at::Tensor gathered = at::full({size * n}, -9, at::kFloat);
    world.AllGather(gathered, tensor.copy_(Part(me, size, at::kFloat)), "shares");
    for (int rank = 0; rank < n; ++rank)
      EXPECT_TRUE(at::equal(gathered.narrow(0, rank * size, size), Part(rank, size, at::kFloat))) << rank;
    for (const int root : {n / 2, 0}) {
      world.Broadcast(tensor.copy_(Part(me, size, at::kFloat)), root, "one");
      EXPECT_TRUE(at::equal(tensor, Part(root, size, at::kFloat))) << "from " << root;
    }
  });
}

// Several groups with operations of all sizes and kinds under way, waited for in an order of each rank's own.
TEST_P(Staging, ManyGroupsAndKindsAtOnce) {
  RunRanks(GetParam(), [](Communicator& world) {
    const int n = world.size();
    std::vector<int> all;
    for (int rank = 0; rank < n; ++rank) all.push_back(rank);
    std::vector<std::unique_ptr<Communicator>> groups;
    for (int i = 0; i < 6; ++i) groups.push_back(world.Subgroup(all, "group" + std::to_string(i)));
    for (int round = 0; round < 2; ++round) {
      std::vector<at::Tensor> sums;
      std::vector<at::Tensor> gathered;
      std::vector<Work> works;
      for (size_t i = 0; i < groups.size(); ++i) {
        const int64_t size = i % 2 == 0 ? 300007 : 11;
        sums.push_back(at::full({size}, world.rank() + static_cast<int>(i), at::kFloat));
        gathered.push_back(at::full({size * n}, -9, at::kFloat));
        works.push_back(groups[i]->AllReduceAsync(sums.back(), ReduceOp::kSum, "sum"));
        works.push_back(
            groups[i]->AllGatherAsync(gathered.back(), at::full({size}, world.rank(), at::kFloat), "gather"));
      }
      world.Barrier("between");  // another group's operation passes those that are under way
      for (size_t i = 0; i < works.size(); ++i)
        works[(i * 5 + static_cast<size_t>(world.rank())) % works.size()].Wait();
      for (size_t i = 0; i < groups.size(); ++i) {
        EXPECT_TRUE(sums[i].eq(n * (n - 1) / 2 + n * static_cast<int>(i)).all().item<bool>()) << i;
        for (int rank = 0; rank < n; ++rank) {
          const int64_t size = sums[i].numel();
          EXPECT_TRUE(gathered[i].narrow(0, rank * size, size).eq(rank).all().item<bool>()) << i;
        }
      }
    }
  });
}

// Without comm.check, too: no data moves, every rank says the same, and the group works afterwards (but a
// world of threads ends).
void ExpectDisagreement(const std::function<void(Communicator& world)>& call, const std::string& one,
                        const std::string& other) {
  if (!RanksShareMemory()) GTEST_SKIP() << "ranks that exchange messages notice with comm.check only";
  RunRanks(3, [&](Communicator& world) {
    EXPECT_THAT(ErrorOf([&] { call(world); }),
                AllOf(HasSubstr("disagree"), HasSubstr(one), HasSubstr(other)));
  });
}

TEST(DisagreementTest, ASkippedOperationIsAnErrorOnAll) {
  ExpectDisagreement(
      [](Communicator& world) {
        const at::Tensor tensor = at::ones({700001});
        if (world.rank() != 1) world.AllReduce(tensor, ReduceOp::kSum, "grads");
        world.Broadcast(at::ones({5}), 0, "next");
      },
      "rank 0 calls all_reduce 'grads' (sum, 700001 fp32)", "rank 1 calls broadcast 'next' (root 0, 5 fp32)");
}

TEST(DisagreementTest, AnotherSizeIsAnErrorOnAll) {
  ExpectDisagreement(
      [](Communicator& world) {
        world.AllReduceAsync(at::ones({world.rank() == 2 ? 400000 : 400001}), ReduceOp::kSum, "grads").Wait();
      },
      "400001 fp32", "400000 fp32");
}

TEST(DisagreementTest, SplitCountsThatDoNotMatchAreAnErrorOnAll) {
  ExpectDisagreement(
      [](Communicator& world) {
        const int64_t sent = world.rank() == 1 ? 5 : 4;
        const std::vector<int64_t> sends = {4, 4, sent};
        const std::vector<int64_t> receives = {4, 4, 4};
        world.AllToAllSplit(at::empty({12}), receives, at::ones({8 + sent}), sends, "lots");
      },
      "rank 1 sends 5 to rank 2, which expects 4", "all_to_all_split 'lots'");
}

}  // namespace
}  // namespace orthant::testing
