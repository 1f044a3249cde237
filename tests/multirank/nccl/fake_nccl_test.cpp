// The fake's own rules, by its tables: what NCCL asks of its callers.
#include "support/fake_nccl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace orthant::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two ranks of one communicator, called from one thread: nothing blocks.
class FakeNcclTest : public ::testing::Test {
 protected:
  FakeNcclTest() : fake_(2) {
    NcclUniqueId id;
    const NcclTable& first = fake_.Table(0);
    first.get_unique_id(first.self, &id);
    for (int rank = 0; rank < 2; ++rank) {
      const NcclTable& nccl = fake_.Table(rank);
      nccl.comm_init_rank_config(nccl.self, &comms_[rank], 2, id, rank, {});
      const DeviceTable& device = fake_.devices().Table(rank);
      device.create_stream(device.self, &streams_[rank]);
    }
  }

  NcclResult Send(int from, const float* data) {
    const NcclTable& nccl = fake_.Table(from);
    return nccl.send(nccl.self, data, 1, NcclType::kFloat32, 1 - from, comms_[from], streams_[from]);
  }
  NcclResult Recv(int to, float* data) {
    const NcclTable& nccl = fake_.Table(to);
    return nccl.recv(nccl.self, data, 1, NcclType::kFloat32, 1 - to, comms_[to], streams_[to]);
  }
  NcclResult State(int rank) {
    NcclResult state = NcclResult::kSuccess;
    const NcclTable& nccl = fake_.Table(rank);
    nccl.comm_get_async_error(nccl.self, comms_[rank], &state);
    return state;
  }
  void Start(int rank) { fake_.Table(rank).group_start(fake_.Table(rank).self); }
  NcclResult End(int rank) { return fake_.Table(rank).group_end(fake_.Table(rank).self); }
  void Abort() {
    for (int rank = 0; rank < 2; ++rank) {
      const NcclTable& nccl = fake_.Table(rank);
      nccl.comm_abort(nccl.self, comms_[rank]);
    }
  }

  FakeNccl fake_;
  NcclComm* comms_[2] = {};
  DeviceStream* streams_[2] = {};
  float data_[4] = {1, 2, 0, 0};
};

TEST_F(FakeNcclTest, SendsAndReceivesOfOneCommunicatorBelongInAGroup) {
  Send(0, &data_[0]);
  Recv(1, &data_[3]);
  EXPECT_EQ(State(0), NcclResult::kSuccess);
  EXPECT_EQ(State(1), NcclResult::kSuccess);
  Recv(0, &data_[2]);
  Abort();
  EXPECT_THAT(fake_.Finish(), Contains(HasSubstr("rank 0 sends and receives on @1 outside of a group")));
}

TEST_F(FakeNcclTest, ConnectsTwoRanksWhenBothAreThere) {
  EXPECT_EQ(Send(0, &data_[0]), NcclResult::kInProgress);
  EXPECT_EQ(State(0), NcclResult::kInProgress);
  EXPECT_EQ(Recv(1, &data_[3]), NcclResult::kSuccess);
  EXPECT_EQ(State(0), NcclResult::kSuccess);
  Abort();
  EXPECT_THAT(fake_.Finish(), IsEmpty());
}

TEST_F(FakeNcclTest, TheOutermostEndStartsNestedGroups) {
  Start(0);
  Start(0);
  EXPECT_EQ(Send(0, &data_[0]), NcclResult::kSuccess);
  EXPECT_EQ(End(0), NcclResult::kSuccess);
  EXPECT_EQ(Recv(0, &data_[2]), NcclResult::kSuccess);  // still in the group: nothing has been called
  EXPECT_EQ(End(0), NcclResult::kInProgress);
  Abort();
  EXPECT_THAT(fake_.Finish(), IsEmpty());
}

TEST_F(FakeNcclTest, GroupsAreStartedAndEnded) {
  EXPECT_EQ(End(0), NcclResult::kInvalidUsage);
  Start(1);
  Recv(1, &data_[3]);
  Abort();
  // The abort stands in the group that is never ended, too.
  EXPECT_THAT(fake_.Finish(), ElementsAre("a group is ended that was not started",
                                          "rank 1 started a group and did not end it",
                                          "rank 0 left @1 behind", "rank 1 left @1 behind"));
}

TEST_F(FakeNcclTest, ACommunicatorThatIsOverIsNotUsed) {
  Abort();
  EXPECT_EQ(Send(0, &data_[0]), NcclResult::kInvalidUsage);
  EXPECT_THAT(fake_.Finish(), ElementsAre(HasSubstr("rank 0 calls send on @1, which is over")));
}

TEST_F(FakeNcclTest, CommunicatorsAreFinalizedAndDestroyed) {
  const NcclTable& nccl = fake_.Table(0);
  nccl.comm_destroy(nccl.self, comms_[0]);
  EXPECT_THAT(fake_.Finish(),
              ElementsAre(HasSubstr("@1 is destroyed before it is finalized"), "rank 1 left @1 behind"));
}

TEST(FakeOrderTest, FindsTwoOrders) {
  const IssuedOperation a{1, "a", {0, 1}, {}};
  const IssuedOperation b{2, "b", {0, 1}, {}};
  EXPECT_EQ(FindOrderFault({{a, b}, {a, b}}), "");
  EXPECT_EQ(FindOrderFault({{a, b}, {b, a}}),
            "communicators are used in different orders: rank 0 has come to a, rank 1 has come to b");
}

// Each pair of ranks agrees; the three together do not.
TEST(FakeOrderTest, FindsACircleOfThree) {
  const IssuedOperation ab{1, "ab", {0, 1}, {}};
  const IssuedOperation bc{2, "bc", {1, 2}, {}};
  const IssuedOperation ca{3, "ca", {0, 2}, {}};
  EXPECT_EQ(FindOrderFault({{ab, ca}, {ab, bc}, {bc, ca}}), "");
  EXPECT_THAT(FindOrderFault({{ab, ca}, {bc, ab}, {ca, bc}}), HasSubstr("rank 2 has come to ca"));
}

TEST(FakeOrderTest, GroupsOfMessagesMeetPartByPart) {
  const auto group = [](std::vector<IssuedOperation::Part> parts) {
    return IssuedOperation{1, "a group of messages", {0, 1, 2}, std::move(parts)};
  };
  const IssuedOperation zero = group({{1, true, false}, {2, true, false}});
  const IssuedOperation one = group({{0, false, false}});
  const IssuedOperation two = group({{0, false, false}});
  const IssuedOperation other{2, "other", {1, 2}, {}};
  EXPECT_EQ(FindOrderFault({{zero}, {one, other}, {two, other}}), "");
  EXPECT_EQ(FindOrderFault({{zero}, {one, other}, {other, two}}), "");  // the part for rank 2 waits
  const IssuedOperation both{3, "both", {0, 1}, {}};
  EXPECT_THAT(FindOrderFault({{zero, both}, {both, one}, {two}}), HasSubstr("rank 0 has come to a group"));
}

}  // namespace
}  // namespace orthant::testing
