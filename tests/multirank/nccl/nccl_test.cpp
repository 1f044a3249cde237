// What the nccl backend promises beside results: streams, messages that open their own lanes, splits, memory,
// records, sums.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "support/ranks.h"
#include "support/ranks_nccl.h"

namespace orthant::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

at::Tensor Constant(double value, int64_t size = 8) {
  return at::full({size}, value, at::kFloat);
}

bool Is(const at::Tensor& tensor, double value) {
  return tensor.eq(value).all().item<bool>();
}

std::vector<int> FirstRanks(int n) {
  std::vector<int> ranks(static_cast<size_t>(n));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

void ExpectClean(const FakeRanksResult& result) {
  EXPECT_THAT(result.errors, Each(IsEmpty()));
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_EQ(result.aborts, 0);
}

// Calls that are carried out at once, or after many answers of "in progress".
TEST(NcclTest, WaitsUntilCallsHaveBeenCarriedOut) {
  for (const int polls : {0, 1, 40}) {
    FakeRanksOptions options;
    options.fake.polls = polls;
    options.fake.device.delay_us = 200;
    ExpectClean(RunFakeRanks(3, options, [](Communicator& world, FakeNccl&) {
      for (int i = 0; i < 5; ++i) {
        const at::Tensor sum = Constant(i + world.rank());
        world.AllReduce(sum, ReduceOp::kSum, "sum");
        EXPECT_TRUE(Is(sum, 3 * i + 3));
      }
    }));
  }
}

// Any order between streams gives the same results.
TEST(NcclTest, NoOrderOfTheStreamsMatters) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    FakeRanksOptions options;
    options.fake.device.seed = seed;
    options.fake.device.delay_us = 300;
    ExpectClean(RunFakeRanks(4, options, [](Communicator& world, FakeNccl&) {
      const int me = world.rank();
      const auto row = world.Subgroup(me < 2 ? std::vector<int>{0, 1} : std::vector<int>{2, 3}, "row");
      const auto column =
          world.Subgroup(me % 2 == 0 ? std::vector<int>{0, 2} : std::vector<int>{1, 3}, "column");
      std::vector<at::Tensor> tensors;
      std::vector<Work> works;
      for (int i = 0; i < 6; ++i) {
        tensors.push_back(Constant(me));
        works.push_back(row->AllReduceAsync(tensors.back(), ReduceOp::kSum, "row"));
        // The next needs the result of the one before: through the current stream.
        works.back().Wait();
        works.push_back(column->AllReduceAsync(tensors.back(), ReduceOp::kSum, "column"));
      }
      for (Work& work : works) work.Wait();
      for (const at::Tensor& tensor : tensors) EXPECT_TRUE(Is(tensor, 6));
    }));
  }
}

// With one place on the device, what is issued in one order everywhere still comes to its end.
TEST(NcclTest, OneOrderNeedsNoPlaceForTwo) {
  FakeRanksOptions options;
  options.fake.device.resident = 1;
  ExpectClean(RunFakeRanks(4, options, [](Communicator& world, FakeNccl&) {
    const int me = world.rank();
    const auto row = world.Subgroup(me < 2 ? std::vector<int>{0, 1} : std::vector<int>{2, 3}, "row");
    std::vector<at::Tensor> tensors;
    std::vector<Work> works;
    for (int i = 0; i < 10; ++i) {
      tensors.push_back(Constant(1));
      works.push_back(world.AllReduceAsync(tensors.back(), ReduceOp::kSum, "world"));
      tensors.push_back(Constant(1));
      works.push_back(row->AllReduceAsync(tensors.back(), ReduceOp::kSum, "row"));
      const at::Tensor output = at::empty({4});
      world.AllToAll(output, Constant(me, 4), "exchange");
    }
    for (Work& work : works) work.Wait();
  }));
}

// Nobody's thread waits for a peer that calls its end of a message later, behind something between hosts.
TEST(NcclTest, FirstMessagesWaitForNobodysThread) {
  FakeRanksOptions options;
  options.fake.polls = 3;
  ExpectClean(RunFakeRanks(2, options, [](Communicator& world, FakeNccl&) {
    const at::Tensor message = Constant(world.rank());
    if (world.rank() == 0) {
      Work sent = world.SendAsync(message, 1, "early");
      world.Barrier("hosts meet");  // the peer receives only after it
      sent.Wait();
    } else {
      world.Barrier("hosts meet");
      world.Recv(message, 0, "early");
      EXPECT_TRUE(Is(message, 0));
    }
  }));
}

TEST(NcclTest, MessagesOfBothWaysCrossEachOther) {
  ExpectClean(RunFakeRanks(2, {}, [](Communicator& world, FakeNccl&) {
    const int peer = 1 - world.rank();
    std::vector<Work> works;
    std::vector<at::Tensor> received;
    for (int i = 0; i < 8; ++i) works.push_back(world.SendAsync(Constant(10 * world.rank() + i), peer, "x"));
    for (int i = 0; i < 8; ++i) {
      received.push_back(Constant(-1));
      works.push_back(world.RecvAsync(received.back(), peer, "x"));
    }
    for (Work& work : works) work.Wait();
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(Is(received[i], 10 * peer + i));
  }));
}

// Two groups of the same name and members, as a second world, keep their messages apart.
TEST(NcclTest, GroupsOfOneNameKeepTheirMessagesApart) {
  ExpectClean(RunFakeRanks(2, {}, [](Communicator& world, FakeNccl&) {
    const auto first = world.Subgroup({0, 1}, "twin");
    const auto second = world.Subgroup({0, 1}, "twin");
    const at::Tensor one = Constant(1);
    const at::Tensor two = Constant(2);
    if (world.rank() == 0) {
      Work a = second->SendAsync(two, 1, "x");
      Work b = first->SendAsync(one, 1, "x");
      a.Wait();
      b.Wait();
    } else {
      const at::Tensor got = Constant(0);
      first->Recv(got, 0, "x");
      EXPECT_TRUE(Is(got, 1));
      second->Recv(got, 0, "x");
      EXPECT_TRUE(Is(got, 2));
    }
  }));
}

TEST(NcclTest, AGroupOfAllIsSplitOffAndOthersAreMadeByTheirMembers) {
  const FakeRanksResult result = RunFakeRanks(4, {}, [](Communicator& world, FakeNccl&) {
    const auto same = world.Subgroup(FirstRanks(4), "same");
    if (world.rank() < 2) {  // the others know nothing of it
      const auto pair = world.Subgroup({0, 1}, "pair");
      const at::Tensor sum = Constant(1);
      pair->AllReduce(sum, ReduceOp::kSum, "pair");
      EXPECT_TRUE(Is(sum, 2));
    }
    const auto again = same->Subgroup(FirstRanks(4), "again");
    const at::Tensor sum = Constant(1);
    again->AllReduce(sum, ReduceOp::kSum, "again");
    EXPECT_TRUE(Is(sum, 4));
  });
  ExpectClean(result);
  EXPECT_EQ(result.splits, 2);
}

// A temporary's memory stays until the device has done with it, and goes then.
TEST(NcclTest, KeepsMemoryOfWorksThatNobodyWaitsFor) {
  FakeRanksOptions options;
  options.fake.device.delay_us = 3000;
  ExpectClean(RunFakeRanks(2, options, [](Communicator& world, FakeNccl& fake) {
    if (world.rank() == 0) {
      for (int i = 0; i < 10; ++i) {
        const at::Tensor temporary = fake.devices().Tensor(100, at::kFloat);
        temporary.fill_(i);
        world.SendAsync(temporary, 1, "dropped");
      }
    } else {
      const at::Tensor got = Constant(-1, 100);
      for (int i = 0; i < 10; ++i) {
        world.Recv(got, 0, "dropped");
        EXPECT_TRUE(Is(got, i));
      }
    }
  }));
}

TEST(NcclTest, RecordsStatesFromEvents) {
  const FakeRanksResult result = RunFakeRanks(2, {}, [](Communicator& world, FakeNccl&) {
    const auto hosts = world.Subgroup({0, 1}, "hosts");
    const at::Tensor tensor = Constant(1);
    if (world.rank() == 0) {
      Work work = world.AllReduceAsync(tensor, ReduceOp::kSum, Label("late", 7, 3));
      const auto state = [&] { return world.flight_recorder()->Entries().back().state; };
      // The stream comes to it by itself; the peer is not there.
      while (state() == FlightState::kQueued) std::this_thread::yield();
      EXPECT_EQ(state(), FlightState::kStarted);
      hosts->Barrier("now");
      work.Wait();
    } else {
      hosts->Barrier("now");
      world.AllReduce(tensor, ReduceOp::kSum, Label("late", 7, 3));
    }
    EXPECT_EQ(world.flight_recorder()->waiting(), 0u);
  });
  ExpectClean(result);
  for (const std::string& flight : result.flights) {
    EXPECT_THAT(flight, HasSubstr("world.all_reduce seq=1 'late layer=7 mb=3' 8 fp32 done"));
    EXPECT_THAT(flight, Not(HasSubstr("failed")));
  }
}

// NCCL adds in an order of its own; all ranks get the same bits, within (n - 1) u sum |x| of the exact sum.
TEST(NcclTest, SumsAreEqualEverywhereAndWithinTheBound) {
  for (const int n : {2, 3, 8}) {
    RunRanks(n, [n](Communicator& world) {
      constexpr int64_t kSize = 5003;
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
        const auto part = [&](int rank) {
          return at::sin(at::arange(kSize, at::kDouble) * 0.37 + rank * 1.7).to(dtype);
        };
        at::Tensor exact = at::zeros({kSize}, at::kDouble);
        at::Tensor absolute = at::zeros({kSize}, at::kDouble);
        for (int rank = 0; rank < n; ++rank) {
          exact += part(rank).to(at::kDouble);
          absolute += part(rank).to(at::kDouble).abs();
        }
        const at::Tensor sum = part(world.rank()).clone();
        world.AllReduce(sum, ReduceOp::kSum, "sum");
        const double u = dtype == at::kDouble ? 0x1p-53 : dtype == at::kFloat ? 0x1p-24 : 0x1p-8;
        // A second (n - 1) u for the reference's own rounding, and a little for products of u.
        const double factor = (n - 1) * u * 1.1 + (n - 1) * 0x1p-53;
        EXPECT_TRUE(((sum.to(at::kDouble) - exact).abs() <= absolute * factor).all().item<bool>()) << dtype;
        const at::Tensor all = at::empty({n * kSize}, dtype);
        world.AllGather(all, sum, "all");
        for (int rank = 0; rank < n; ++rank) {
          EXPECT_TRUE(at::equal(all.narrow(0, rank * kSize, kSize), sum)) << dtype << " of rank " << rank;
        }
      }
    });
  }
}

// What goes into a graph is issued, and not followed.
TEST(NcclTest, CapturedOperationsAreNotWatched) {
  FakeRanksOptions options;
  options.fake.device.capturing = true;
  ExpectClean(RunFakeRanks(2, options, [](Communicator& world, FakeNccl&) {
    const at::Tensor sum = Constant(1);
    world.AllReduce(sum, ReduceOp::kSum, "captured");
    EXPECT_TRUE(Is(sum, 2));
    EXPECT_EQ(world.flight_recorder()->Entries().back().state, FlightState::kDone);
  }));
  const FakeRanksResult messages = RunFakeRanks(2, options, [](Communicator& world, FakeNccl&) {
    world.SendAsync(Constant(1), 1 - world.rank(), "first");
  });
  EXPECT_THAT(messages.errors[0], HasSubstr("cannot be captured into a graph"));
}

}  // namespace
}  // namespace orthant::testing
