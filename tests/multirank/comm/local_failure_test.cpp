// Nothing hangs: what the local backend does when a rank is late, gone, or calls something else than the
// others.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "orthant/comm/local.h"

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Runs the body and returns the text of the error that RunLocal reports.
std::string ErrorOf(int ranks, double timeout_seconds, const std::function<void(Communicator&)>& body) {
  LocalOptions options;
  options.timeout_seconds = timeout_seconds;
  try {
    RunLocal(ranks, options, body);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

double SecondsOf(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(LocalFailureTest, TheTimeoutNamesTheMissingRankAndWhatItLastDid) {
  const std::string error = ErrorOf(4, 0.2, [](Communicator& world) {
    const at::Tensor tensor = at::ones({8});
    world.AllReduce(tensor, ReduceOp::kSum, "first");
    if (world.rank() == 2) return;
    world.AllReduce(tensor, ReduceOp::kSum, Label("attn.out", 7));
  });
  EXPECT_THAT(
      error,
      AllOf(HasSubstr("world.all_reduce 'attn.out layer=7'"), HasSubstr("waited 0.2 s"),
            HasSubstr("missing: rank 2 (world rank 2; last: rank=2 #1 world.all_reduce seq=1 'first'")));
}

TEST(LocalFailureTest, AllOthersStopWithTheSameVerdict) {
  std::atomic<int> errors{0};
  ErrorOf(4, 0.2, [&errors](Communicator& world) {
    if (world.rank() == 3) return;
    try {
      world.Barrier("meet");
    } catch (const CommError& error) {
      if (std::string(error.what()).find("rank 3") != std::string::npos) ++errors;
      throw;
    }
  });
  EXPECT_EQ(errors.load(), 3);
}

TEST(LocalFailureTest, AMissingMessageNamesItsSender) {
  const std::string error = ErrorOf(2, 0.2, [](Communicator& world) {
    if (world.rank() == 0) world.Recv(at::ones({8}), 1, Label("act", -1, 3));
  });
  EXPECT_THAT(error, AllOf(HasSubstr("world.recv 'act mb=3'"), HasSubstr("missing: rank 1")));
}

TEST(LocalFailureTest, ALargeSendWithoutReceiverTimesOut) {
  const std::string error = ErrorOf(2, 0.2, [](Communicator& world) {
    if (world.rank() == 0) world.Send(at::ones({100000}), 1, "act");
  });
  EXPECT_THAT(error, AllOf(HasSubstr("world.send 'act'"), HasSubstr("missing: rank 1")));
}

TEST(LocalFailureTest, OneRankThatThrowsFreesTheOthers) {
  for (const bool async : {false, true}) {
    for (const int64_t size : {int64_t{4}, int64_t{100000}}) {
      std::string error;
      const double seconds = SecondsOf([&] {
        error = ErrorOf(8, 60, [async, size](Communicator& world) {
          const at::Tensor tensor = at::ones({size});
          if (world.rank() == 5) throw std::runtime_error("the disk is full");
          if (world.rank() == 6) world.Recv(tensor, 5, "message");
          if (async) {
            world.AllReduceAsync(tensor, ReduceOp::kSum, "grads").Wait();
          } else {
            world.AllReduce(tensor, ReduceOp::kSum, "grads");
          }
        });
      });
      EXPECT_EQ(error, "the disk is full");
      EXPECT_LT(seconds, 20);
    }
  }
}

TEST(LocalFailureTest, TheErrorKeepsItsType) {
  LocalOptions options;
  EXPECT_THROW(RunLocal(3, options,
                        [](Communicator& world) {
                          if (world.rank() == 1) throw std::out_of_range("token 99");
                          world.Barrier("wait");
                        }),
               std::out_of_range);
}

TEST(LocalFailureTest, DisagreementNamesBothCalls) {
  EXPECT_THAT(
      ErrorOf(2, 30,
              [](Communicator& world) {
                const at::Tensor tensor = at::ones({8});
                if (world.rank() == 0) {
                  world.AllReduce(tensor, ReduceOp::kSum, "attn.out");
                } else {
                  world.Broadcast(tensor, 0, "weights");
                }
              }),
      AllOf(HasSubstr("rank 0 calls all_reduce 'attn.out'"), HasSubstr("rank 1 calls broadcast 'weights'")));
  EXPECT_THAT(ErrorOf(3, 30,
                      [](Communicator& world) {
                        world.AllReduce(at::ones({world.rank() == 2 ? 9 : 8}), ReduceOp::kSum, "x");
                      }),
              AllOf(HasSubstr("8 fp32"), HasSubstr("rank 2 calls all_reduce 'x' (sum, 9 fp32)")));
  EXPECT_THAT(ErrorOf(2, 30,
                      [](Communicator& world) {
                        world
                            .AllReduceAsync(at::ones({100000}, world.rank() == 0 ? at::kFloat : at::kDouble),
                                            ReduceOp::kSum, "x")
                            .Wait();
                      }),
              AllOf(HasSubstr("fp32"), HasSubstr("fp64")));
  EXPECT_THAT(ErrorOf(2, 30, [](Communicator& world) { world.Broadcast(at::ones({8}), world.rank(), "x"); }),
              AllOf(HasSubstr("root 0"), HasSubstr("root 1")));
  EXPECT_THAT(ErrorOf(2, 30,
                      [](Communicator& world) {
                        world.AllReduce(at::ones({8}), world.rank() == 0 ? ReduceOp::kSum : ReduceOp::kMax,
                                        "x");
                      }),
              AllOf(HasSubstr("sum"), HasSubstr("max")));
}

TEST(LocalFailureTest, DisagreementOnUnevenSharesNamesThem) {
  EXPECT_THAT(
      ErrorOf(2, 30,
              [](Communicator& world) {
                const std::vector<int64_t> sends = {2, 2};
                const std::vector<int64_t> receives = world.rank() == 0 ? sends : std::vector<int64_t>{1, 3};
                world.AllToAllSplit(at::ones({4}), receives, at::ones({4}), sends, "tokens");
              }),
      AllOf(HasSubstr("all_to_all_split 'tokens'"), HasSubstr("expects 1")));
}

TEST(LocalFailureTest, DisagreementOfSenderAndReceiverNamesBoth) {
  for (const int64_t size : {int64_t{8}, int64_t{100000}}) {
    EXPECT_THAT(ErrorOf(2, 30,
                        [size](Communicator& world) {
                          if (world.rank() == 0) {
                            world.Send(at::ones({size}), 1, "act");
                          } else {
                            world.Recv(at::ones({9}), 0, "grad");
                          }
                        }),
                AllOf(HasSubstr("rank 0 calls send 'act'"), HasSubstr("recv 'grad' (9 fp32)")));
  }
}

TEST(LocalFailureTest, AnEndedWorldStaysEnded) {
  LocalWorld world(2, 60);
  const auto rank = world.Connect(0);
  world.Abort("stopped from outside");
  EXPECT_THROW(rank->Barrier("x"), CommError);
  EXPECT_THROW(rank->RecvAsync(at::ones({1}), 1, "x").Wait(), CommError);
  EXPECT_THROW(LocalWorld(0), CommError);
  EXPECT_THROW(world.Connect(2), CommError);
}

TEST(LocalFailureTest, DroppedWorkIsFinished) {
  LocalOptions options;
  RunLocal(2, options, [](Communicator& world) {
    const at::Tensor tensor = at::ones({50000});
    { const Work dropped = world.AllReduceAsync(tensor, ReduceOp::kSum, "dropped"); }
    EXPECT_TRUE(tensor.eq(2).all().item<bool>());
    // A dropped send is delivered: its memory is kept.
    if (world.rank() == 0) {
      world.SendAsync(at::full({50000}, 7.0), 1, "dropped");
    } else {
      world.Recv(tensor, 0, "dropped");
      EXPECT_TRUE(tensor.eq(7).all().item<bool>());
    }
  });
}

TEST(LocalFailureTest, ARankUnwoundWithWorkInFlightFreesTheOthers) {
  const double seconds = SecondsOf([] {
    const std::string error = ErrorOf(3, 60, [](Communicator& world) {
      const at::Tensor tensor = at::ones({50000});
      const Work early = world.AllReduceAsync(tensor, ReduceOp::kSum, "early");
      if (world.rank() == 1) throw std::runtime_error("out of memory");
      const at::Tensor other = at::ones({50000});
      world.AllReduce(other, ReduceOp::kSum, "late");
    });
    EXPECT_EQ(error, "out of memory");
  });
  EXPECT_LT(seconds, 20);
}

TEST(LocalFailureTest, ManyRanksOnFewCores) {
  LocalOptions options;
  RunLocal(64, options, [](Communicator& world) {
    const at::Tensor tensor = at::ones({3000});
    for (int i = 0; i < 5; ++i) {
      tensor.fill_(world.rank());
      world.AllReduce(tensor, ReduceOp::kSum, "x");
      EXPECT_TRUE(tensor.eq(2016).all().item<bool>());
    }
  });
}

}  // namespace
}  // namespace orthant
