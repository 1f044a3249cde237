#include "orthant/comm/flight_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace orthant {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Operation MakeOp(uint64_t sequence, const char* what) {
  Operation op;
  op.kind = OpKind::kAllReduce;
  op.sequence = sequence;
  op.count = 128;
  op.label = Label(what, 7, 3);
  return op;
}

TEST(LabelTest, NamesOnlyWhatItKnows) {
  EXPECT_EQ(ToString(Label("attn.out")), "attn.out");
  EXPECT_EQ(ToString(Label("attn.out", 7)), "attn.out layer=7");
  EXPECT_EQ(ToString(Label("attn.out", 7, 3)), "attn.out layer=7 mb=3");
  EXPECT_EQ(ToString(Label("loss", -1, 0)), "loss mb=0");
}

TEST(OperationTest, DescribesItself) {
  EXPECT_EQ(Describe(MakeOp(1, "attn.out")), "all_reduce 'attn.out layer=7 mb=3' (sum, 128 fp32)");
  Operation broadcast = MakeOp(1, "seed");
  broadcast.kind = OpKind::kBroadcast;
  broadcast.dtype = c10::ScalarType::BFloat16;
  broadcast.peer = 2;
  EXPECT_EQ(Describe(broadcast), "broadcast 'seed layer=7 mb=3' (root 2, 128 bf16)");
}

TEST(FlightRecorderTest, KeepsTheLastEntriesInOrder) {
  FlightRecorder recorder(5, 8);
  const int group = recorder.RegisterGroup("tensor");
  EXPECT_EQ(recorder.Last(), "nothing");
  for (uint64_t i = 1; i <= 20; ++i) recorder.Begin(MakeOp(i, "x"), group, FlightState::kStarted);
  const std::vector<FlightEntry> entries = recorder.Entries();
  ASSERT_EQ(entries.size(), 8u);
  for (size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].sequence, 13 + i);
}

TEST(FlightRecorderTest, RaisesTheCapacityToAPowerOfTwo) {
  EXPECT_EQ(FlightRecorder(0, 1000).capacity(), 1024u);
  EXPECT_EQ(FlightRecorder(0).capacity(), 1024u);
}

TEST(FlightRecorderTest, FollowsAnEntryThroughItsStates) {
  FlightRecorder recorder(0, 8);
  const int group = recorder.RegisterGroup("data");
  const uint64_t ticket = recorder.Begin(MakeOp(1, "grad"), group, FlightState::kQueued);
  EXPECT_EQ(recorder.Entries()[0].state, FlightState::kQueued);
  recorder.Mark(ticket, FlightState::kStarted);
  EXPECT_EQ(recorder.Entries()[0].state, FlightState::kStarted);
  recorder.Mark(ticket, FlightState::kFailed);
  const FlightEntry entry = recorder.Entries()[0];
  EXPECT_EQ(entry.state, FlightState::kFailed);
  EXPECT_LE(entry.queued, entry.started);
  EXPECT_LE(entry.started, entry.ended);
}

TEST(FlightRecorderTest, AnOverwrittenEntryIsLeftAlone) {
  FlightRecorder recorder(0, 2);
  const int group = recorder.RegisterGroup("data");
  const uint64_t old = recorder.Begin(MakeOp(1, "old"), group, FlightState::kQueued);
  recorder.Begin(MakeOp(2, "x"), group, FlightState::kQueued);
  recorder.Begin(MakeOp(3, "new"), group, FlightState::kQueued);
  recorder.Mark(old, FlightState::kDone);
  for (const FlightEntry& entry : recorder.Entries()) EXPECT_EQ(entry.state, FlightState::kQueued);
}

TEST(FlightRecorderTest, DumpNamesEverything) {
  FlightRecorder recorder(5, 8);
  const int world = recorder.RegisterGroup("world");
  const int tensor = recorder.RegisterGroup("tensor");
  EXPECT_NE(world, tensor);
  recorder.Begin(MakeOp(1, "first"), world, FlightState::kDone);
  Operation send = MakeOp(4, "act");
  send.kind = OpKind::kSend;
  send.peer = 2;
  recorder.Begin(send, tensor, FlightState::kStarted);
  EXPECT_THAT(recorder.Dump(),
              HasSubstr("rank=5 #1 world.all_reduce seq=1 'first layer=7 mb=3' 128 fp32 done"));
  EXPECT_THAT(recorder.Dump(),
              HasSubstr("rank=5 #2 tensor.send seq=4 'act layer=7 mb=3' to=2 128 fp32 started"));
  EXPECT_THAT(recorder.Dump(1), Not(HasSubstr("first")));
  EXPECT_THAT(recorder.Last(), HasSubstr("tensor.send"));
}

TEST(FlightRecorderTest, CanBeReadWhileItIsWritten) {
  FlightRecorder recorder(0, 16);
  const int group = recorder.RegisterGroup("data");
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop.load()) {
      for (const FlightEntry& entry : recorder.Entries()) {
        // Whole entries only: the count is written together with the sequence.
        EXPECT_EQ(static_cast<uint64_t>(entry.elements), entry.sequence);
      }
    }
  });
  for (uint64_t i = 1; i <= 50000; ++i) {
    Operation op = MakeOp(i, "x");
    op.count = static_cast<int64_t>(i);
    recorder.Mark(recorder.Begin(op, group, FlightState::kStarted), FlightState::kDone);
  }
  stop.store(true);
  reader.join();
}

}  // namespace
}  // namespace orthant
