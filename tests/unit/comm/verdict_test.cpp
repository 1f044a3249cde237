#include "orthant/comm/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Four ranks in groups "world" {0 1 2 3} and "tensor" {0 1} {2 3}, all of which have completed step 4.
FlightRecord Rank(int rank) {
  FlightRecord record;
  record.rank = rank;
  record.world = 4;
  record.host = "n1";
  record.pid = 100 + rank;
  record.place = "D" + std::to_string(rank) + " rank " + std::to_string(rank);
  record.step = 5;
  record.activity = "forward";
  record.activity_seconds = 6;
  record.groups.push_back({"world", {0, 1, 2, 3}, 0, 0});
  record.groups.push_back({"tensor", rank < 2 ? std::vector<int>{0, 1} : std::vector<int>{2, 3}, 0, 0});
  return record;
}

RecordedOperation& Call(FlightRecord* record, int group, const std::string& label, double seconds,
                        const std::string& op = "all_reduce") {
  RecordedOperation call;
  call.ticket = record->operations.size() + 1;
  call.group = group;
  call.op = op;
  call.step = record->step;
  call.label = label;
  call.reduce = op == "all_reduce" ? "sum" : "";
  call.dtype = "fp32";
  call.elements = 8;
  call.state = "started";
  call.queued = call.started = seconds;
  if (op != "send" && op != "recv") call.sequence = ++record->groups[static_cast<size_t>(group)].issued;
  record->operations.push_back(call);
  return record->operations.back();
}

void Done(FlightRecord* record, int group, const std::string& label, double seconds) {
  RecordedOperation& call = Call(record, group, label, seconds);
  call.state = "done";
  call.ended = seconds;
}

void WaitIn(FlightRecord* record, int group, const std::string& label, double seconds,
            const std::string& op = "all_reduce") {
  record->waiting = Call(record, group, label, seconds, op).ticket;
}

std::vector<FlightRecord> FourAfter(const std::string& label) {
  std::vector<FlightRecord> records;
  for (int rank = 0; rank < 4; ++rank) {
    records.push_back(Rank(rank));
    Done(&records.back(), 0, label, 7);
  }
  return records;
}

TEST(VerdictTest, ADeadRankIsNamedWithWhoWaitsAndWhatItLastDid) {
  std::vector<FlightRecord> records = FourAfter("loss");
  records.erase(records.begin() + 1);
  WaitIn(&records[0], 1, "attn.out", 3);
  WaitIn(&records[1], 0, "next", 2);
  const Verdict verdict = Judge(records, {{1, Absence::kDead, "n1", 101, "D1 rank 1"}});
  EXPECT_EQ(verdict.cause, "dead");
  EXPECT_EQ(verdict.exit_code, 4);
  EXPECT_THAT(verdict.ranks, ElementsAre(1));
  EXPECT_EQ(verdict.operation, "tensor.all_reduce 'attn.out' (sum, 8 fp32)");
  EXPECT_EQ(verdict.step, 5);
  EXPECT_THAT(
      verdict.text,
      AllOf(HasSubstr("D1 rank 1 is dead: its process 101 on host n1 has ended"),
            HasSubstr("D0 rank 0 waits for it in tensor.all_reduce 'attn.out' (sum, 8 fp32) seq=1, step 5"),
            HasSubstr("it last took part in world.all_reduce 'loss'")));
}

TEST(VerdictTest, ASuspendedRankIsUnresponsive) {
  std::vector<FlightRecord> records = FourAfter("loss");
  records.erase(records.begin() + 3);
  for (FlightRecord& record : records) WaitIn(&record, 0, "next", 3);
  const Verdict verdict = Judge(records, {{3, Absence::kStopped, "n1", 103, "D3 rank 3"}});
  EXPECT_EQ(verdict.cause, "unresponsive");
  EXPECT_THAT(verdict.ranks, ElementsAre(3));
  EXPECT_THAT(verdict.text,
              AllOf(HasSubstr("D3 rank 3 is unresponsive: its process 103 on host n1 is suspended"),
                    HasSubstr("(and 2 more) wait for it in world.all_reduce 'next'")));
}

TEST(VerdictTest, ANeighbourKnowsMoreThanSilence) {
  std::vector<FlightRecord> records = FourAfter("loss");
  records.pop_back();
  for (FlightRecord& record : records) WaitIn(&record, 0, "next", 3);
  records[2].dead = {3};
  EXPECT_EQ(Judge(records, {{3, Absence::kSilent, "n2", 103, ""}}).cause, "dead");
  records[2].dead.clear();
  const Verdict silent = Judge(records, {{3, Absence::kSilent, "n2", 103, ""}});
  EXPECT_EQ(silent.cause, kLostHost);
  EXPECT_THAT(silent.text,
              AllOf(HasSubstr("host n2 is lost: rank 3 does not answer; D0 rank 0 (and 2 more) wait for it"),
                    HasSubstr("rank 3: its process 103 on host n2 does not answer")));
}

// Ranks 0 and 1 on n1, 2 and 3 on n2; `present` have a record, in which they wait for all.
Verdict Parted(const std::vector<int>& present, const std::vector<int>& silent) {
  std::vector<FlightRecord> records;
  for (const int rank : present) {
    records.push_back(FourAfter("loss")[static_cast<size_t>(rank)]);
    records.back().host = rank < 2 ? "n1" : "n2";
    WaitIn(&records.back(), 0, "next", 3);
  }
  std::vector<AbsentRank> absent;
  for (const int rank : silent) absent.push_back({rank, Absence::kSilent, rank < 2 ? "n1" : "n2", 103, ""});
  return Judge(records, absent);
}

TEST(VerdictTest, BothSidesOfAPartedNetworkNameTheSameHost) {
  const Verdict seen = Parted({0, 1}, {2, 3});
  EXPECT_EQ(seen.cause, kLostHost);
  EXPECT_THAT(seen.ranks, ElementsAre(2, 3));
  EXPECT_THAT(seen.text, HasSubstr("host n2 is lost: ranks 2, 3 do not answer"));
  const Verdict felt = Parted({2, 3}, {0, 1});
  EXPECT_EQ(felt.cause, kLostHost);
  EXPECT_THAT(felt.ranks, ElementsAre(2, 3));
  EXPECT_THAT(felt.text, HasSubstr("host n2 is cut off: ranks 2, 3 hear nothing of ranks 0, 1 on host n1"));
}

TEST(VerdictTest, AHostWithARankThatAnswersIsNotLost) {
  const Verdict verdict = Parted({0, 1, 2}, {3});
  EXPECT_EQ(verdict.cause, "unresponsive");
  EXPECT_THAT(verdict.ranks, ElementsAre(3));
}

TEST(VerdictTest, ARankStuckInComputeOrInDataLoading) {
  for (const auto& [activity, cause] : {std::pair("forward and backward", "compute"),
                                        {"data loading", "data loading"},
                                        {"saving", "saving"},
                                        {"ended", "ended"},
                                        {"", "compute"}}) {
    std::vector<FlightRecord> records = FourAfter("loss");
    records[2].activity = activity;
    for (const int rank : {0, 1, 3}) WaitIn(&records[static_cast<size_t>(rank)], 0, "next", 5);
    const Verdict verdict = Judge(records, {});
    EXPECT_EQ(verdict.cause, cause);
    EXPECT_THAT(verdict.ranks, ElementsAre(2));
    EXPECT_THAT(
        verdict.text,
        AllOf(HasSubstr("world.all_reduce 'next' (sum, 8 fp32) seq=2, step 5, waited 5 s on D0 rank 0 (and 2 "
                        "more) for D2 rank 2, which "),
              HasSubstr("last completed world.all_reduce 'loss' (sum, 8 fp32) seq=1, step 5")));
  }
}

TEST(VerdictTest, TheRootOfAChainOfWaitsIsNamed) {
  // 3 waits for 2, 2 for 0 and 1, 0 for 1, which computes.
  std::vector<FlightRecord> records = FourAfter("loss");
  WaitIn(&records[3], 1, "attn.out", 9);
  WaitIn(&records[2], 0, "next", 8);
  WaitIn(&records[0], 1, "attn.out", 7);
  const Verdict verdict = Judge(records, {});
  EXPECT_EQ(verdict.cause, "compute");
  EXPECT_THAT(verdict.ranks, ElementsAre(1));
}

TEST(VerdictTest, AMessageThatDoesNotComeNamesItsSender) {
  std::vector<FlightRecord> records = FourAfter("loss");
  WaitIn(&records[2], 1, "act", 4, "recv");
  records[2].operations.back().peer = 1;  // rank 3 of the world
  records[2].operations.back().sequence = 3;
  RecordedOperation& sent = Call(&records[3], 1, "act", 6, "send");
  sent.peer = 0;
  sent.sequence = 2;
  sent.state = "done";
  const Verdict verdict = Judge(records, {});
  EXPECT_THAT(verdict.ranks, ElementsAre(3));
  EXPECT_EQ(verdict.operation, "tensor.recv 'act' (8 fp32)");
  sent.sequence = 3;  // now it has been sent
  EXPECT_EQ(Judge(records, {}).cause, "stalled");
}

TEST(VerdictTest, RanksThatWaitForEachOtherAreInOtherOperations) {
  std::vector<FlightRecord> records = FourAfter("loss");
  WaitIn(&records[0], 1, "attn.out", 5);
  for (const int rank : {1, 2, 3}) WaitIn(&records[static_cast<size_t>(rank)], 0, "next", 4);
  Verdict verdict = Judge(records, {});
  EXPECT_EQ(verdict.cause, "other operation");
  EXPECT_THAT(verdict.text,
              AllOf(HasSubstr("waited 5 s on D0 rank 0 for D1 rank 1, which is in another operation: "
                              "world.all_reduce 'next'"),
                    HasSubstr("ranks 0, 1 wait for each other")));
  records[1].odd = "calls world.all_reduce 'next' where it called tensor.all_reduce 'attn.out' in step 4";
  verdict = Judge(records, {});
  EXPECT_THAT(verdict.ranks, ElementsAre(1));
  EXPECT_THAT(verdict.text, HasSubstr("D1 rank 1 calls world.all_reduce 'next' where it called"));
}

TEST(VerdictTest, AnotherOperationShapeOrDtypeAtTheSamePlace) {
  const auto with = [](const std::function<void(RecordedOperation&)>& change) {
    std::vector<FlightRecord> records = FourAfter("loss");
    for (FlightRecord& record : records) WaitIn(&record, 0, "next", 4);
    change(records[2].operations.back());
    return Judge(records, {});
  };
  for (const auto& [change, text] :
       std::vector<std::pair<std::function<void(RecordedOperation&)>, std::string>>{
           {[](RecordedOperation& op) { op.elements = 9; }, "all_reduce 'next' (sum, 9 fp32)"},
           {[](RecordedOperation& op) { op.dtype = "bf16"; }, "all_reduce 'next' (sum, 8 bf16)"},
           {[](RecordedOperation& op) { op.label = "grads"; }, "all_reduce 'grads' (sum, 8 fp32)"},
           {[](RecordedOperation& op) { op.reduce = "max"; }, "all_reduce 'next' (max, 8 fp32)"},
           {[](RecordedOperation& op) {
              op.op = "broadcast";
              op.reduce = "";
              op.peer = 1;
            },
            "broadcast 'next' (root 1, 8 fp32)"}}) {
    const Verdict verdict = with(change);
    EXPECT_EQ(verdict.cause, "mismatch");
    EXPECT_THAT(verdict.ranks, ElementsAre(2));
    EXPECT_THAT(
        verdict.text,
        AllOf(HasSubstr("the ranks of world (ranks 0-3) differ at collective 2, step 5: D2 rank 2 calls " +
                        text),
              HasSubstr("ranks 0, 1, 3 call all_reduce 'next' (sum, 8 fp32)")));
  }
  EXPECT_NE(with([](RecordedOperation&) {}).cause, "mismatch");
}

TEST(VerdictTest, SenderAndReceiverThatDiffer) {
  std::vector<FlightRecord> records = FourAfter("loss");
  RecordedOperation& send = Call(&records[0], 1, "act", 3, "send");
  send.peer = 1;
  send.sequence = 1;
  RecordedOperation& recv = Call(&records[1], 1, "act", 3, "recv");
  recv.peer = 0;
  recv.sequence = 1;
  EXPECT_NE(Judge(records, {}).cause, "mismatch");
  recv.elements = 4;
  const Verdict verdict = Judge(records, {});
  EXPECT_EQ(verdict.cause, "mismatch");
  EXPECT_THAT(verdict.text,
              HasSubstr("D0 rank 0 calls send 'act' (8 fp32) to D1 rank 1, which calls recv 'act' (4 fp32)"));
}

TEST(VerdictTest, ARanksOwnErrorComesFirstAndKeepsItsCode) {
  std::vector<FlightRecord> records = FourAfter("loss");
  for (const int rank : {0, 1, 2}) WaitIn(&records[static_cast<size_t>(rank)], 0, "next", 1);
  records[3].error = "the disk is full";
  records[3].exit_code = 1;
  records[2].error = "MPI_Testall: broken";
  records[2].exit_code = 4;
  const Verdict verdict = Judge(records, {{1, Absence::kDead, "", 0, ""}});
  EXPECT_EQ(verdict.exit_code, 1);
  EXPECT_EQ(verdict.cause, "error");
  EXPECT_THAT(verdict.text, HasSubstr("the disk is full (on D3 rank 3)"));
  EXPECT_THAT(verdict.text, Not(HasSubstr("broken")));
  EXPECT_THAT(Spoken(verdict, "runs/a/flight"), HasSubstr("records are in runs/a/flight"));
  // What the user's disk did is said as it stands; a rank without words leaves them to another.
  records[3].exit_code = 3;
  records[0].exit_code = 3;
  const Verdict disk = Judge(records, {});
  EXPECT_EQ(disk.exit_code, 3);
  EXPECT_THAT(disk.ranks, ElementsAre(3));
  EXPECT_EQ(Spoken(disk, "runs/a/flight"), "the disk is full");
}

TEST(FlightRecordTest, SurvivesJson) {
  FlightRecord record = Rank(3);
  Done(&record, 0, "loss", 2.5);
  WaitIn(&record, 1, "attn \"out\" \xff", 1.25);
  record.operations.back().layer = 7;
  record.operations.back().microbatch = 2;
  record.error = "no";
  record.exit_code = 5;
  record.odd = "calls this";
  record.dead = {1, 2};
  record.stopped = {9};
  record.silent = {4, 5};
  const std::string text = FlightRecordText(record);
  const absl::StatusOr<FlightRecord> back = ParseFlightRecord(text, "file");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(FlightRecordText(*back), text);
  EXPECT_EQ(back->place, record.place);
  EXPECT_EQ(back->groups[1].members, record.groups[1].members);
  EXPECT_EQ(back->Waiting()->layer, 7);
  EXPECT_EQ(back->dead, record.dead);
  EXPECT_EQ(back->silent, record.silent);
  EXPECT_THAT(std::string(ParseFlightRecord("{\"rank\": 1}", "file").status().message()),
              HasSubstr("file: not a flight record"));
  EXPECT_FALSE(ParseFlightRecord("{", "file").ok());
}

TEST(FlightRecordTest, WhatCannotBeIsDamage) {
  const auto damage = [](const std::function<void(FlightRecord*)>& hurt) {
    FlightRecord record = Rank(3);
    Done(&record, 0, "loss", 2.5);
    hurt(&record);
    return std::string(ParseFlightRecord(FlightRecordText(record), "file").status().message());
  };
  EXPECT_EQ(damage([](FlightRecord*) {}), "");
  const auto told = HasSubstr("file: damaged");
  EXPECT_THAT(damage([](FlightRecord* r) { r->world = -1; }), told);
  EXPECT_THAT(damage([](FlightRecord* r) { r->rank = r->world; }), told);
  EXPECT_THAT(damage([](FlightRecord* r) { r->operations.back().group = 99; }), told);
  EXPECT_THAT(damage([](FlightRecord* r) { r->operations.back().group = -1; }), told);
}

TEST(FlightRecordTest, RanksAsText) {
  EXPECT_EQ(RanksText({0, 1, 2, 3, 5, 7, 8}), "0-3, 5, 7, 8");
  EXPECT_EQ(RanksText({}), "");
  for (const std::vector<int>& ranks : {std::vector<int>{}, {4}, {0, 1}, {0, 2, 4}, {0, 1, 2, 9, 10, 11}}) {
    EXPECT_EQ(ParseRanks(RanksText(ranks)), ranks);
  }
  EXPECT_TRUE(ParseRanks("3-x").empty());
  EXPECT_TRUE(ParseRanks("5-2").empty());
}

TEST(FlightRecordTest, TrimKeepsWhatAVerdictNeeds) {
  FlightRecord record = Rank(0);
  record.waiting = Call(&record, 1, "old but unfinished", 100).ticket;
  Done(&record, 1, "last of tensor", 90);
  for (int i = 0; i < 50; ++i) Done(&record, 0, "x", 80 - i);
  Trim(&record);
  EXPECT_LT(record.operations.size(), 12u);
  ASSERT_NE(record.Waiting(), nullptr);
  EXPECT_EQ(record.Waiting()->label, "old but unfinished");
  EXPECT_EQ(record.operations[1].label, "last of tensor");
  EXPECT_EQ(record.LastDone()->sequence, 50u);
}

TEST(FlightRecordTest, ACallThatLeavesTheOrderOfTheStepBefore) {
  FlightRecorder recorder(0);
  const int group = recorder.RegisterGroup("world", {0, 1});
  uint64_t sequence = 0;
  const auto call = [&](const char* what) {
    Operation op;
    op.kind = OpKind::kAllReduce;
    op.label = what;
    op.sequence = ++sequence;
    recorder.Mark(recorder.Begin(op, group, FlightState::kStarted), FlightState::kDone);
  };
  for (int step = 1; step <= 3; ++step) {
    recorder.SetStep(step);
    call("a");
    EXPECT_EQ(RecordOf(recorder).odd, "");
    if (step < 3) call("b");
    call("c");
  }
  EXPECT_THAT(RecordOf(recorder).odd,
              AllOf(HasSubstr("calls world.all_reduce 'c'"),
                    HasSubstr("where it called world.all_reduce 'b'"), HasSubstr("step 2")));
}

TEST(FlightFolderTest, WritesReadsAndClears) {
  const std::string folder = ::testing::TempDir() + "/flight_" + std::to_string(getpid());
  EXPECT_FALSE(ReadFlightFolder(folder).ok());
  EXPECT_FALSE(ReadVerdict(folder).ok());
  WriteFlightRecord(folder, Rank(2));
  WriteFlightRecord(folder, Rank(0));
  Verdict verdict;
  verdict.cause = "dead";
  verdict.ranks = {1};
  verdict.text = "rank 1 is dead";
  verdict.told_by = 3;
  EXPECT_TRUE(WriteVerdict(folder, verdict));
  EXPECT_FALSE(WriteVerdict(folder, verdict));  // another has spoken
  const absl::StatusOr<std::vector<FlightRecord>> records = ReadFlightFolder(folder);
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ((*records)[1].rank, 2);
  EXPECT_EQ(ReadVerdict(folder)->text, verdict.text);
  EXPECT_THAT(ReadVerdict(folder)->ranks, ElementsAre(1));
  EXPECT_EQ(ReadVerdict(folder)->told_by, 3);
  ClearFlightFolder(folder);
  EXPECT_FALSE(ReadFlightFolder(folder).ok());
  EXPECT_FALSE(ReadVerdict(folder).ok());
  std::filesystem::remove_all(folder);
  WriteFlightRecord("", Rank(0));  // nowhere
  EXPECT_TRUE(WriteVerdict("/proc/nowhere", verdict));
}

}  // namespace
}  // namespace orthant
