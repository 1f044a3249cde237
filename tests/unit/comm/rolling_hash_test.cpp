#include "orthant/comm/rolling_hash.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "orthant/comm/flight_recorder.h"
#include "orthant/core/hash.h"

namespace orthant {
namespace {

Operation Make(OpKind kind, int64_t count, const char* what, int peer = -1) {
  Operation op;
  op.kind = kind;
  op.count = count;
  op.label = what;
  op.peer = peer;
  return op;
}

double BalanceOf(int ranks, const std::function<void(int rank, RollingHash& hash)>& calls) {
  double sum = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    RollingHash hash(rank, ranks);
    calls(rank, hash);
    sum += hash.Balance();
  }
  return sum;
}

void Add(RollingHash& hash, const Operation& op) {
  hash.Add(op, Fnv1a64(op.label.what));
}

TEST(RollingHashTest, BalancesWhenAllCallAlike) {
  for (const int ranks : {1, 2, 3, 4, 7, 64, 1000, 16384}) {
    EXPECT_EQ(BalanceOf(ranks,
                        [](int, RollingHash& hash) {
                          for (int i = 0; i < 5; ++i) Add(hash, Make(OpKind::kAllReduce, 100 + i, "grads"));
                          Add(hash, Make(OpKind::kBroadcast, 7, "seed", 0));
                        }),
              0.0)
        << ranks;
  }
}

TEST(RollingHashTest, EveryRankThatDiffersShows) {
  for (const int ranks : {2, 3, 5, 8, 33}) {
    for (int odd = 0; odd < ranks; ++odd) {
      const auto with = [&](const std::function<void(RollingHash&)>& differently) {
        return BalanceOf(ranks, [&](int rank, RollingHash& hash) {
          Add(hash, Make(OpKind::kAllReduce, 8, "first"));
          if (rank == odd) {
            differently(hash);
          } else {
            Add(hash, Make(OpKind::kAllReduce, 8, "x"));
          }
          Add(hash, Make(OpKind::kAllReduce, 8, "last"));
        });
      };
      EXPECT_EQ(with([](RollingHash& hash) { Add(hash, Make(OpKind::kAllReduce, 8, "x")); }), 0.0);
      EXPECT_NE(with([](RollingHash& hash) {}), 0.0);
      EXPECT_NE(with([](RollingHash& hash) { Add(hash, Make(OpKind::kAllReduce, 9, "x")); }), 0.0);
      EXPECT_NE(with([](RollingHash& hash) { Add(hash, Make(OpKind::kAllReduce, 8, "y")); }), 0.0);
      EXPECT_NE(with([](RollingHash& hash) { Add(hash, Make(OpKind::kBroadcast, 8, "x", 0)); }), 0.0);
      EXPECT_NE(with([](RollingHash& hash) {
                  Operation op = Make(OpKind::kAllReduce, 8, "x");
                  op.dtype = c10::ScalarType::BFloat16;
                  Add(hash, op);
                }),
                0.0);
      EXPECT_NE(with([](RollingHash& hash) {
                  Operation op = Make(OpKind::kAllReduce, 8, "x");
                  op.label.layer = 3;
                  Add(hash, op);
                }),
                0.0);
    }
  }
}

TEST(RollingHashTest, HalfOfTheRanksMayDifferAlike) {
  for (const int modulus : {2, 4}) {
    EXPECT_NE(BalanceOf(8,
                        [&](int rank, RollingHash& hash) {
                          Add(hash, Make(OpKind::kAllReduce, 8, rank % modulus < modulus / 2 ? "x" : "y"));
                        }),
              0.0);
  }
}

TEST(RollingHashTest, TheOrderCounts) {
  EXPECT_NE(BalanceOf(2,
                      [](int rank, RollingHash& hash) {
                        Add(hash, Make(OpKind::kAllReduce, 8, rank == 0 ? "a" : "b"));
                        Add(hash, Make(OpKind::kAllReduce, 8, rank == 0 ? "b" : "a"));
                      }),
            0.0);
}

TEST(RollingHashTest, MessagesBalancePerPairAndDirection) {
  // Around the ring, and back to the one before, in another order on each side.
  const auto ring = [](int drop) {
    return BalanceOf(5, [drop](int rank, RollingHash& hash) {
      const int next = (rank + 1) % 5;
      const int before = (rank + 4) % 5;
      for (int i = 0; i < 3; ++i) {
        if (rank % 2 == 0) Add(hash, Make(OpKind::kSend, 8 + i, "act", next));
        Add(hash, Make(OpKind::kRecv, 8 + i, "act", before));
        if (rank % 2 == 1) Add(hash, Make(OpKind::kSend, 8 + i, "act", next));
        if (rank != drop || i != 1) Add(hash, Make(OpKind::kSend, 4, "grad", before));
        Add(hash, Make(OpKind::kRecv, 4, "grad", next));
      }
    });
  };
  EXPECT_EQ(ring(-1), 0.0);
  for (int drop = 0; drop < 5; ++drop) EXPECT_NE(ring(drop), 0.0);
}

TEST(RollingHashTest, SequenceNumbersCountCollectivesAndEachChannel) {
  RollingHash hash(0, 3);
  EXPECT_EQ(hash.Add(Make(OpKind::kBarrier, 0, "x"), 1), 1u);
  EXPECT_EQ(hash.Add(Make(OpKind::kSend, 1, "x", 1), 1), 1u);
  EXPECT_EQ(hash.Add(Make(OpKind::kSend, 1, "x", 2), 1), 1u);
  EXPECT_EQ(hash.Add(Make(OpKind::kRecv, 1, "x", 1), 1), 1u);
  EXPECT_EQ(hash.Add(Make(OpKind::kSend, 1, "x", 1), 1), 2u);
  EXPECT_EQ(hash.Add(Make(OpKind::kBarrier, 0, "x"), 1), 2u);
}

TEST(LabelHashTest, IsOfTheTextNotOfThePlace) {
  FlightRecorder recorder(0);
  const char first[] = "attn.out";
  const char second[] = "attn.out";
  const char other[] = "attn.in";
  EXPECT_EQ(recorder.LabelHash(first), recorder.LabelHash(second));
  EXPECT_EQ(recorder.LabelHash(first), Fnv1a64("attn.out"));
  EXPECT_NE(recorder.LabelHash(first), recorder.LabelHash(other));
}

}  // namespace
}  // namespace orthant
