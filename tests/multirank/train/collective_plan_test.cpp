// The planned lists are what ranks really do: steps and evaluations run on many layouts, and each rank's
// flight recorder holds the operations of its list, in order.
#include "orthant/train/collective_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/train/collective_check.h"
#include "orthant/train/engine.h"
#include "orthant/train/layouts.h"
#include "orthant/train/trainer.h"
#include "support/ranks.h"

namespace orthant {
namespace {

using Moment = CollectivePlan::Moment;

RunConfig Small() {
  RunConfig c;
  c.model.layers = 3;  // uneven on two stages
  c.model.heads = 4;
  c.model.hidden = 16;
  c.model.context = 16;
  c.model.bias = true;
  c.model.dropout = 0.1;
  c.train.global_batch = 8;
  c.train.micro_batch = 1;
  c.train.dtype = "fp32";
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 29;  // padded on two tensor ranks and on four
  c.data.synthetic_tokens = 4000;
  c.data.prefetch = false;
  c.evaluate.batches = 2;
  c.zero.offload.path = (std::filesystem::temp_directory_path() / "orthant-collectives").string();
  return c;
}

PreparedRun Prepared(const RunConfig& config) {
  absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  if (!run.ok()) throw std::runtime_error(std::string(run.status().message()));
  return *std::move(run);
}

std::string TextOf(const RunConfig& c) {
  return absl::StrCat(ToString(c.parallel.degrees()), " ", c.parallel.schedule, " zero=", c.parallel.zero,
                      c.parallel.tensor_sequence ? " tensor_sequence " : " ", c.train.dtype,
                      " reduce=", c.train.reduce_dtype, c.model.tie_embeddings ? " tied " : " untied ",
                      absl::StrJoin(Extras(LayoutOf(c)), " "));
}

// "12 tensor.all_reduce 'attn.out layer=7 mb=3' peer=-1 128 fp32"
std::string Line(int64_t position, const std::string& group, OpKind kind, const Label& label, int peer,
                 int64_t count, c10::ScalarType dtype) {
  return absl::StrCat(position, " ", group, ".", ToString(kind), " '", ToString(label), "' peer=", peer, " ",
                      count, " ", DtypeName(dtype));
}

std::vector<std::string> Planned(const CollectivePass& pass, int64_t rank) {
  std::vector<std::string> lines;
  for (const PlannedOperation& op : pass.ListOf(rank)) {
    if (op.mode == PlannedOperation::Mode::kWait) continue;
    lines.push_back(Line(static_cast<int64_t>(lines.size()), ToString(op.group), op.kind, op.label, op.peer,
                         op.count, op.dtype));
  }
  return lines;
}

// What a rank has done since this was made.
class Recorded {
 public:
  explicit Recorded(Communicator& world) : recorder_(*world.flight_recorder()), before_(Newest()) {}

  // What was recorded since: how many, and the lines that the ring still holds, the last ones.
  int64_t Lines(std::vector<std::string>* lines) const {
    lines->clear();
    const uint64_t newest = Newest();
    for (const FlightEntry& e : recorder_.Entries()) {
      if (e.ticket <= before_) continue;
      lines->push_back(Line(static_cast<int64_t>(e.ticket - before_) - 1, GroupName(e), e.op, e.label, e.peer,
                            e.elements, e.dtype));
    }
    return static_cast<int64_t>(newest - before_);
  }

 private:
  uint64_t Newest() const {
    const std::vector<FlightEntry> entries = recorder_.Entries();
    return entries.empty() ? 0 : entries.back().ticket;
  }
  std::string GroupName(const FlightEntry& e) const {
    return recorder_.Groups()[static_cast<size_t>(e.group)].name;
  }

  const FlightRecorder& recorder_;
  uint64_t before_;
};

void ExpectSame(const std::vector<std::string>& planned, const Recorded& recorded, const std::string& where) {
  std::vector<std::string> lines;
  const int64_t count = recorded.Lines(&lines);
  // Of a longer list the ring holds the end.
  const size_t held = lines.size(), from = planned.size() > held ? planned.size() - held : 0;
  for (size_t i = 0; i < held && from + i < planned.size(); ++i) {
    ASSERT_EQ(lines[i], planned[from + i]) << where;
  }
  EXPECT_EQ(count, static_cast<int64_t>(planned.size())) << where;
}

// Two steps, an evaluation and another step against their lists; bytes by axis too.
void CheckRun(const RunConfig& config) {
  const PreparedRun run = Prepared(config);
  const CollectivePlan plan = PlanCollectives(run.config, run.mesh, run.vocab);
  const MeshGroups groups(run.mesh, run.config.zero.shard_ranks);
  const std::optional<CollectiveConflict> conflict = CheckPlan(plan, groups);
  ASSERT_FALSE(conflict.has_value()) << TextOf(config) << ": " << conflict->ToString(run.mesh);
  testing::RunRanks(static_cast<int>(run.mesh.world()), [&](Communicator& world) {
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
    const std::string text = TextOf(config) + ", " + run.mesh.Describe(world.rank());
    const auto expect = [&](Moment moment, const char* name, const auto& act) {
      const Recorded recorded(world);
      const std::array<int64_t, kAxisCount> before = engine.model().groups().BytesSent();
      act();
      const CollectivePass& pass = plan.Of(moment);
      ExpectSame(Planned(pass, world.rank()), recorded, absl::StrCat(text, ", ", name));
      if (world.rank() != 0) return;
      std::array<int64_t, kAxisCount> sent = engine.model().groups().BytesSent();
      for (int a = 0; a < kAxisCount; ++a) sent[a] -= before[a];
      EXPECT_EQ(sent, Summarize(pass, groups).first_rank_bytes) << text << ", " << name;
    };
    expect(Moment::kFirstStep, "first step", [&] { engine.Step(); });
    expect(Moment::kStep, "second step", [&] { engine.Step(); });
    expect(Moment::kEvaluation, "evaluation", [&] { engine.Evaluate(/*validation=*/true, plan.evaluated); });
    expect(Moment::kStepAfterEvaluation, "step after evaluation", [&] { engine.Step(); });
  });
}

// Every `stride`-th legal layout of exactly `ranks` ranks.
void CheckLayouts(const RunConfig& config, int ranks, int stride) {
  if (ranks > testing::MaxRanks()) GTEST_SKIP() << "needs " << ranks << " ranks";
  int64_t index = 0, checked = 0;
  for (const Layout& layout : LegalLayouts(config, ranks)) {
    if (layout.parallel.degrees().world() != ranks || index++ % stride != 0) continue;
    CheckRun(With(config, layout));
    if (::testing::Test::HasFailure()) return;
    ++checked;
  }
  EXPECT_GT(checked, 0);
}

RunConfig On(RunConfig c, int data, int tensor, int pipeline, int sequence) {
  c.parallel.data = data;
  c.parallel.tensor = tensor;
  c.parallel.pipeline = pipeline;
  c.parallel.sequence = sequence;
  return c;
}

TEST(CollectivePlan, TwoRanksTied) {
  CheckLayouts(Small(), 2, 1);
}

TEST(CollectivePlan, TwoRanksUntiedWithoutBias) {
  RunConfig c = Small();
  c.model.tie_embeddings = false;
  c.model.bias = false;
  CheckLayouts(c, 2, 1);
}

TEST(CollectivePlan, ThreeStages) {
  CheckLayouts(Small(), 3, 1);
}

TEST(CollectivePlan, FourRanksTied) {
  CheckLayouts(Small(), 4, 2);
}

TEST(CollectivePlan, FourRanksUntiedInBf16) {
  RunConfig c = Small();
  c.model.tie_embeddings = false;
  c.train.dtype = "bf16";
  c.train.micro_batch = 2;
  c.train.gradient_dtype = "same";
  CheckLayouts(c, 4, 5);
}

TEST(CollectivePlan, EightRanks) {
  CheckLayouts(Small(), 8, 5);
}

TEST(CollectivePlan, EightRanksInOtherOrderWithReducedTypes) {
  RunConfig c = Small();
  c.parallel.order = {"tensor", "sequence", "data", "pipeline"};
  c.train.dtype = "bf16";
  c.train.reduce_dtype = "same";
  CheckLayouts(c, 8, 23);
}

// Gathers ahead: sizes that admit one unit, some, all; values that stay between forward and backward.
TEST(CollectivePlan, PrefetchAndRelease) {
  if (testing::MaxRanks() < 4) GTEST_SKIP();
  for (const int64_t prefetch : {int64_t{0}, int64_t{1}, int64_t{20000}, int64_t{1} << 30}) {
    for (const bool release : {true, false}) {
      for (const int64_t bucket : {int64_t{2048}, int64_t{64} << 20}) {
        RunConfig c = On(Small(), 2, 1, 2, 1);
        c.train.micro_batch = 2;
        c.parallel.zero = 3;
        c.zero.prefetch_bytes = prefetch;
        c.zero.release_after_forward = release;
        c.zero.bucket_bytes = bucket;
        c.zero.tile_bytes = bucket / 2;
        c.memory.recompute = (bucket > 2048) == release ? "full" : "none";
        CheckRun(c);
        c.parallel.pipeline = 1;
        c.parallel.tensor = 2;
        c.parallel.tensor_sequence = release;
        c.zero.tile_bytes = 0;
        CheckRun(c);
      }
    }
  }
}

// A norm's weight and bias in units of their own, and the tied table beside the positions.
TEST(CollectivePlan, OneParameterAUnit) {
  if (testing::MaxRanks() < 2) GTEST_SKIP();
  for (const int zero : {0, 1, 2, 3}) {
    RunConfig c = On(Small(), 2, 1, 1, 1);
    c.parallel.zero = zero;
    c.zero.bucket_bytes = 1;
    CheckRun(c);
  }
}

// More microbatches than the executor lets run ahead; blocks of logits, of which the vocabulary makes
// several.
TEST(CollectivePlan, LongPipelineAndManyRowsOfLogits) {
  if (testing::MaxRanks() < 4) GTEST_SKIP();
  for (const char* schedule : {"1f1b", "gpipe"}) {
    RunConfig c = On(Small(), 1, 1, 4, 1);
    c.model.layers = 4;
    c.train.global_batch = 24;
    c.parallel.schedule = schedule;
    CheckRun(c);
  }
  RunConfig c = On(Small(), 1, 2, 1, 1);
  c.data.synthetic_vocab = 300001;  // 600 kB a row of this rank
  c.train.global_batch = 8;
  c.train.micro_batch = 8;
  CheckRun(c);
}

}  // namespace
}  // namespace orthant
