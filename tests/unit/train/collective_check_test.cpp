// The check of collectives: legal configurations pass, whatever the mesh; and a list that was changed on one
// rank is found, with that rank's name.
#include "orthant/train/collective_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/train/layouts.h"
#include "unit/train/collective_fixture.h"

namespace orthant {
namespace {

using Kind = CollectiveConflict::Kind;
using Mode = PlannedOperation::Mode;
using testing::Everything;
using ::testing::HasSubstr;
using testing::kVocab;
using testing::MeshOf;
using testing::On;
using testing::Planned;
using testing::Small;

TEST(CollectiveCheck, EveryLegalLayoutPasses) {
  RunConfig c = Small();
  int64_t checked = 0;
  for (const Layout& layout : LegalLayouts(c, 16)) {
    const Planned planned(With(c, layout));
    ASSERT_EQ(planned.Check(), "") << ToString(layout.parallel.degrees());
    ++checked;
  }
  EXPECT_GT(checked, 400);
}

TEST(CollectiveCheck, EveryGroupTakesPart) {
  const Planned planned(Everything());
  const CollectiveSummary summary = Summarize(planned.plan.Of(CollectivePlan::Moment::kStep), planned.groups);
  std::set<GroupKind> seen;
  for (const auto& row : summary.rows) seen.insert(row.group);
  for (const GroupKind kind :
       {GroupKind::kWorld, GroupKind::kTensor, GroupKind::kSequence, GroupKind::kPipeline, GroupKind::kShard,
        GroupKind::kReplica, GroupKind::kEmbeddingPair}) {
    EXPECT_EQ(seen.count(kind), 1u) << ToString(kind);
  }
  EXPECT_EQ(planned.Check(), "");
}

// The members of every group, found by comparing places in the mesh.
TEST(CollectiveCheck, GroupsAreThoseOfTheMesh) {
  const RunConfig c = Everything();
  const Mesh mesh(c.parallel.degrees(), {Axis::kTensor, Axis::kData, Axis::kPipeline, Axis::kSequence});
  const MeshGroups groups(mesh, 4);
  for (int64_t rank = 0; rank < mesh.world(); ++rank) {
    for (int k = 0; k < kGroupKinds; ++k) {
      const auto kind = static_cast<GroupKind>(k);
      const std::vector<int64_t> members = groups.Members(kind, rank);
      ASSERT_TRUE(std::is_sorted(members.begin(), members.end()));
      ASSERT_EQ(static_cast<int64_t>(members.size()), groups.SizeOf(kind, rank)) << ToString(kind);
      ASSERT_EQ(members[static_cast<size_t>(groups.IndexOf(kind, rank))], rank) << ToString(kind);
      for (const int64_t member : members) ASSERT_EQ(groups.Members(kind, member), members) << ToString(kind);
    }
    const std::vector<int> replicas = mesh.GroupOf(rank, {Axis::kData, Axis::kSequence}).ranks();
    const auto mine =
        static_cast<size_t>(std::find(replicas.begin(), replicas.end(), rank) - replicas.begin());
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(groups.Members(GroupKind::kShard, rank)[i], replicas[mine / 4 * 4 + i]);
    }
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(groups.Members(GroupKind::kReplica, rank)[i], replicas[mine % 4 + 4 * i]);
    }
  }
  const Mesh single(Degrees{.data = 4});
  EXPECT_TRUE(MeshGroups(single, 0).Members(GroupKind::kShard, 1).empty());
  EXPECT_TRUE(MeshGroups(single, 0).Members(GroupKind::kEmbeddingPair, 1).empty());
}

PlannedOperation Collective(GroupKind group, const char* what, int64_t count = 8) {
  PlannedOperation op;
  op.group = group;
  op.kind = OpKind::kAllReduce;
  op.count = count;
  op.label = what;
  return op;
}

PlannedOperation Message(OpKind kind, int peer, const char* what, Mode mode = Mode::kBlocking,
                         int slot = -1) {
  PlannedOperation op;
  op.group = GroupKind::kPipeline;
  op.kind = kind;
  op.peer = peer;
  op.count = 8;
  op.mode = mode;
  op.slot = slot;
  op.label = what;
  return op;
}

PlannedOperation As(PlannedOperation op, Mode mode, int slot) {
  op.mode = mode;
  op.slot = slot;
  return op;
}

// A pass of given lists, one a rank.
std::optional<CollectiveConflict> CheckLists(const Mesh& mesh, const std::vector<OperationList>& lists) {
  CollectivePass pass;
  pass.name = "step";
  pass.ranks.resize(lists.size());
  for (size_t rank = 0; rank < lists.size(); ++rank) pass.Replace(static_cast<int64_t>(rank), lists[rank]);
  return CheckPass(pass, MeshGroups(mesh, 0));
}

TEST(CollectiveCheck, TwoGroupsInTwoOrdersAreACycle) {
  const Mesh mesh(Degrees{.data = 2, .tensor = 2});
  const OperationList one = {Collective(GroupKind::kTensor, "a"), Collective(GroupKind::kData, "b")};
  const OperationList other = {one[1], one[0]};
  const std::optional<CollectiveConflict> conflict = CheckLists(mesh, {one, other, other, one});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kCycle);
  EXPECT_EQ(conflict->sides.size(), 4u);
  const std::string text = conflict->ToString(mesh);
  EXPECT_THAT(text, HasSubstr("wait for one another"));
  EXPECT_THAT(text, HasSubstr("tensor.all_reduce 'a' (sum, 8 fp32)"));
  EXPECT_THAT(text, HasSubstr("data.all_reduce 'b' (sum, 8 fp32)"));
  EXPECT_FALSE(CheckLists(mesh, {one, one, one, one}).has_value());
}

// The same two orders are safe once the first of each is only waited for after both were issued.
TEST(CollectiveCheck, AsynchronousOperationsBlockAtTheirWait) {
  const Mesh mesh(Degrees{.data = 2, .tensor = 2});
  const PlannedOperation a = Collective(GroupKind::kTensor, "a"), b = Collective(GroupKind::kData, "b");
  const OperationList one = {As(a, Mode::kIssue, 0), b, As(a, Mode::kWait, 0)};
  const OperationList other = {As(b, Mode::kIssue, 0), a, As(b, Mode::kWait, 0)};
  EXPECT_FALSE(CheckLists(mesh, {one, other, other, one}).has_value());
  const OperationList early = {As(a, Mode::kIssue, 0), As(a, Mode::kWait, 0), b};
  EXPECT_FALSE(CheckLists(mesh, {early, early, early, early}).has_value());
  const OperationList late = {As(b, Mode::kIssue, 0), As(b, Mode::kWait, 0), a};
  const auto conflict = CheckLists(mesh, {early, late, late, early});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kCycle);
  EXPECT_EQ(conflict->sides.front().position, 1);
}

TEST(CollectiveCheck, ASendWaitsForItsReceive) {
  const Mesh mesh(Degrees{.pipeline = 2});
  const OperationList both_send = {Message(OpKind::kSend, 1, "m"), Message(OpKind::kRecv, 1, "n")};
  const OperationList answers = {Message(OpKind::kSend, 0, "n"), Message(OpKind::kRecv, 0, "m")};
  const auto conflict = CheckLists(mesh, {both_send, answers});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kCycle);
  EXPECT_EQ(conflict->sides.size(), 2u);
  EXPECT_FALSE(CheckLists(mesh, {both_send, {answers[1], answers[0]}}).has_value());
  // A receive that was posted ahead breaks the cycle.
  const OperationList posted = {Message(OpKind::kRecv, 0, "m", Mode::kIssue, 0), answers[0],
                                Message(OpKind::kRecv, 0, "m", Mode::kWait, 0)};
  EXPECT_FALSE(CheckLists(mesh, {both_send, posted}).has_value());
}

TEST(CollectiveCheck, MessagesPairInOrder) {
  const Mesh mesh(Degrees{.pipeline = 2});
  const auto conflict = CheckLists(mesh, {{Message(OpKind::kSend, 1, "m"), Message(OpKind::kSend, 1, "n")},
                                          {Message(OpKind::kRecv, 0, "n"), Message(OpKind::kRecv, 0, "m")}});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kMismatch);
  EXPECT_EQ(conflict->difference, "label");
}

TEST(CollectiveCheck, WhatEndsWithoutItsMatchIsNamed) {
  const Mesh mesh(Degrees{.data = 3});
  const PlannedOperation a = Collective(GroupKind::kData, "a");
  auto conflict = CheckLists(mesh, {{a}, {a}, {}});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kMissing);
  EXPECT_EQ(conflict->sides.back().rank, 2);
  EXPECT_THAT(conflict->ToString(mesh), HasSubstr("D2-T0-P0-S0 rank 2 has ended"));
  // Issued, and never waited for.
  conflict = CheckLists(mesh, {{As(a, Mode::kIssue, 0)}, {}, {}});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kMissing);
  EXPECT_EQ(conflict->sides.front().rank, 0);
  // Waited for, and never issued.
  conflict = CheckLists(mesh, {{As(a, Mode::kWait, 0)}, {}, {}});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kWait);
}

TEST(CollectiveCheck, RootsAreCompared) {
  const Mesh mesh(Degrees{.data = 2});
  PlannedOperation a = Collective(GroupKind::kData, "a");
  a.kind = OpKind::kBroadcast;
  a.peer = 0;
  PlannedOperation b = a;
  b.peer = 1;
  const auto conflict = CheckLists(mesh, {{a}, {b}});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->difference, "root");
}

TEST(CollectiveCheck, StagesThatDisagreeAreFound) {
  // The lists of two configurations, each on one half of the stages: as a bug would have it.
  RunConfig c = On(Small(), 2, 2, 2, 1), other = c;
  other.parallel.schedule = "gpipe";
  const Planned planned(c), wrong(other);
  CollectivePass mixed = planned.plan.Of(CollectivePlan::Moment::kStep);
  for (int64_t rank = 0; rank < planned.mesh.world(); ++rank) {
    if (planned.mesh.CoordinateOf(rank).pipeline == 0) continue;
    mixed.Replace(rank, wrong.plan.Of(CollectivePlan::Moment::kStep).ListOf(rank));
  }
  // One stage waits for the first gradient before it sends more activations, the other for all activations
  // first.
  auto conflict = CheckPass(mixed, planned.groups);
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->kind, Kind::kCycle);
  other = c;
  other.train.micro_batch = 2;
  const Planned fewer(other);
  for (int64_t rank = 0; rank < planned.mesh.world(); ++rank) {
    if (planned.mesh.CoordinateOf(rank).pipeline == 0) continue;
    mixed.Replace(rank, fewer.plan.Of(CollectivePlan::Moment::kStep).ListOf(rank));
  }
  conflict = CheckPass(mixed, planned.groups);
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->difference, "count");
  EXPECT_EQ(std::string(conflict->sides[0].operation.label.what), "pipeline.activation");
}

TEST(CollectiveCheck, PassesThatAreAlikeStandOnce) {
  RunConfig c = On(Small(), 2, 2, 2, 1);
  c.evaluate.batches = 5;
  CollectivePlan plan = PlanCollectives(c, MeshOf(c), kVocab);
  ASSERT_EQ(plan.passes.size(), 2u);
  EXPECT_EQ(plan.passes[0].name, "step");
  EXPECT_EQ(plan.passes[1].name, "evaluation");
  EXPECT_EQ(plan.evaluated, 2);
  EXPECT_EQ(plan.at, (std::array<int, 4>{0, 0, 1, 0}));
  c.evaluate.batches = 0;
  plan = PlanCollectives(c, MeshOf(c), kVocab);
  EXPECT_EQ(plan.passes.size(), 1u);
  EXPECT_FALSE(plan.Has(CollectivePlan::Moment::kEvaluation));
  c.parallel.zero = 3;  // the first step learns the order of gathers
  plan = PlanCollectives(c, MeshOf(c), kVocab);
  ASSERT_EQ(plan.passes.size(), 2u);
  EXPECT_EQ(plan.passes[1].name, "first step");
}

TEST(CollectiveCheck, TheRunsOwnCheckPasses) {
  const RunConfig c = Everything();
  EXPECT_EQ(CheckCollectives(c, MeshOf(c), kVocab), absl::OkStatus());
  const RunConfig alone = Small();
  EXPECT_EQ(CheckCollectives(alone, MeshOf(alone), kVocab), absl::OkStatus());
  // Beyond the limit the data axis is shortened; hybrid shards stay a part of the replicas.
  RunConfig large = On(Small(), 1 << 14, 2, 2, 1);
  large.parallel.zero = 3;
  large.train.global_batch = 1 << 15;
  EXPECT_EQ(CheckCollectives(large, MeshOf(large), kVocab), absl::OkStatus());
  large.zero.shard_ranks = 16;
  EXPECT_EQ(CheckCollectives(large, MeshOf(large), kVocab), absl::OkStatus());
}

TEST(CollectiveCheck, ThousandsOfRanksInSeconds) {
  RunConfig c = On(Small(), 128, 4, 4, 2);
  c.model.heads = 8;
  c.model.hidden = 64;
  c.model.layers = 16;
  c.train.global_batch = 1024;
  c.parallel.zero = 1;
  const auto start = std::chrono::steady_clock::now();
  const Planned planned(c);
  EXPECT_EQ(planned.mesh.world(), 4096);
  EXPECT_EQ(planned.Check(), "");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_LT(seconds, 60.0) << "of which a loaded machine, or a sanitizer, may need ten times the usual";
  RecordProperty("seconds", absl::StrCat(seconds));
}

TEST(CollectiveCheck, SummaryCountsOperationsAndBytes) {
  const RunConfig c = On(Small(), 4, 1, 1, 1);
  const Planned planned(c);
  const CollectiveSummary s = Summarize(planned.plan.Of(CollectivePlan::Moment::kStep), planned.groups);
  EXPECT_EQ(s.ranks, 4);
  ASSERT_EQ(s.rows.size(), 2u);
  EXPECT_EQ(s.rows[0].group, GroupKind::kWorld);
  EXPECT_EQ(s.rows[0].total, 4);
  EXPECT_EQ(s.rows[1].group, GroupKind::kDataSequence);
  EXPECT_EQ(s.rows[1].kind, OpKind::kAllReduce);
  EXPECT_EQ(s.rows[1].least, s.rows[1].most);
  EXPECT_EQ(s.total, s.rows[0].total + s.rows[1].total);
  EXPECT_EQ(s.least, 1 + s.rows[1].least);
  const int64_t data = s.first_rank_bytes[static_cast<size_t>(Axis::kData)];
  EXPECT_EQ(data, s.rows[0].most_bytes + s.rows[1].most_bytes);
  EXPECT_EQ(s.rows[1].total_bytes, 4 * s.rows[1].most_bytes);
  EXPECT_GT(data, 0);
  EXPECT_EQ(s.first_rank_bytes[static_cast<size_t>(Axis::kTensor)], 0);
}

}  // namespace
}  // namespace orthant
