#include "orthant/train/collective_plan.h"

#include <cstring>
#include <map>
#include <optional>
#include <tuple>

#include "ATen/ATen.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/train/engine.h"
#include "orthant/train/parallel_model.h"
#include "train/collective_plan_schedule.h"
#include "train/collective_plan_stage.h"

namespace orthant {
namespace {

bool Same(const PlannedOperation& a, const PlannedOperation& b) {
  return std::tie(a.group, a.kind, a.reduce, a.mode, a.dtype, a.slot, a.peer, a.count, a.label.layer,
                  a.label.microbatch) == std::tie(b.group, b.kind, b.reduce, b.mode, b.dtype, b.slot, b.peer,
                                                  b.count, b.label.layer, b.label.microbatch) &&
         std::strcmp(a.label.what, b.label.what) == 0;
}

bool Same(const OperationList& a, const OperationList& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const PlannedOperation& x, const PlannedOperation& y) { return Same(x, y); });
}

// One stage's share of a pass: the ranks at index i among the shards have the tail `tails[tail_of[i]]`.
struct StagePass {
  std::shared_ptr<const OperationList> body;
  std::vector<std::shared_ptr<const OperationList>> tails;
  std::vector<int> tail_of;
};

bool Same(const StagePass& a, const StagePass& b) {
  if (a.tail_of != b.tail_of || !Same(*a.body, *b.body)) return false;
  for (size_t t = 0; t < a.tails.size(); ++t) {
    if (!Same(*a.tails[t], *b.tails[t])) return false;
  }
  return true;
}

// The steps and evaluations of one pipeline stage, one after another, as ParallelModel and Engine make them.
class StagePlanner {
 public:
  StagePlanner(const RunConfig& config, int64_t vocab, const CollectiveTape::Sizes& sizes, int stage)
      : config_(config),
        rank_(stage),
        precision_(PrecisionOf(config.train)),
        shape_(PlannedShape::Of(config, precision_.values)),
        queue_(config.zero.prefetch_bytes, MostAhead(config.zero)),
        tape_(sizes),
        stage_(config.model, ShareOf(config, vocab, stage),
               PlanStage(config.model, ShareOf(config, vocab, stage), vocab, config.parallel.tensor,
                         {config.zero.bucket_bytes, config.zero.tile_bytes,
                          static_cast<int64_t>(c10::elementSize(precision_.values))}),
               RecomputePlanOf(config.memory), shape_, Options()) {}

  StagePass Step(const Schedule& schedule) {
    for (PlannedUnit* unit : stage_.units()) unit->BeginStep(schedule.microbatches);
    Play(schedule, /*training=*/true);
    StagePass pass;
    pass.body = std::make_shared<OperationList>(tape_.Take().list);
    for (PlannedUnit* unit : stage_.units()) unit->FinishReduce();
    OverWorld(kStepSums, "loss_and_norm");
    for (PlannedUnit* unit : stage_.units()) unit->StartShare();
    for (PlannedUnit* unit : stage_.units()) unit->FinishShare();
    AddTails(tape_.Take(), pass);
    return pass;
  }

  StagePass Evaluation(const Schedule& forward_only, int64_t batches) {
    for (int64_t b = 0; b < batches; ++b) Play(forward_only, /*training=*/false);
    StagePass pass;
    pass.body = std::make_shared<OperationList>(tape_.Take().list);
    OverWorld(1, "evaluation");
    AddTails(tape_.Take(), pass);
    return pass;
  }

 private:
  PlannedUnitOptions Options() {
    PlannedUnitOptions o;
    o.dtype = precision_.values;
    o.reduce_dtype = precision_.reduction;
    o.zero_stage = config_.parallel.zero;
    const bool hybrid = tape_.SizeOf(GroupKind::kShard) * tape_.SizeOf(GroupKind::kReplica) > 1;
    o.shard = hybrid ? GroupKind::kShard : GroupKind::kDataSequence;
    o.replica = o.zero_stage == 0 ? GroupKind::kDataSequence : GroupKind::kReplica;
    shards_ = o.zero_stage == 0 ? 1 : tape_.SizeOf(o.shard);
    o.release_after_forward = config_.zero.release_after_forward;
    o.tensor_partial = config_.parallel.tensor_sequence;
    o.queue = &queue_;
    o.tape = &tape_;
    return o;
  }

  void Play(const Schedule& schedule, bool training) {
    PlannedSchedule(schedule, rank_, shape_.held, shape_.dtype, tape_, [&](int microbatch, bool forward) {
      queue_.Enter(forward ? UnitQueue::Direction::kForward : UnitQueue::Direction::kBackward);
      if (forward) {
        stage_.Forward(microbatch, training);
      } else {
        stage_.Backward(microbatch);
      }
    }).Run();
    for (PlannedUnit* unit : stage_.units()) unit->ReleaseValues();
  }

  void OverWorld(int64_t count, const char* what) {
    PlannedOperation op;
    op.group = GroupKind::kWorld;
    op.kind = OpKind::kAllReduce;
    op.dtype = at::kDouble;
    op.count = count;
    op.label = what;
    tape_.Run(op);
  }

  void AddTails(const CollectiveTape::Recording& tail, StagePass& pass) const {
    std::map<std::vector<int64_t>, int> known;
    for (int64_t index = 0; index < shards_; ++index) {
      const auto [found, added] =
          known.try_emplace(tail.CountsAt(index), static_cast<int>(pass.tails.size()));
      if (added) pass.tails.push_back(std::make_shared<OperationList>(tail.At(index)));
      pass.tail_of.push_back(found->second);
    }
  }

  const RunConfig& config_;
  int rank_;
  Precision precision_;
  PlannedShape shape_;
  UnitQueue queue_;
  CollectiveTape tape_;
  int64_t shards_ = 1;
  PlannedStage stage_;
};

CollectiveTape::Sizes SizesOf(const MeshGroups& groups, int64_t rank) {
  CollectiveTape::Sizes sizes{};
  for (int k = 0; k < kGroupKinds; ++k) {
    sizes[static_cast<size_t>(k)] = groups.SizeOf(static_cast<GroupKind>(k), rank);
  }
  return sizes;
}

CollectivePass Assemble(std::string name, const std::vector<StagePass>& stages, const MeshGroups& groups,
                        GroupKind shard) {
  CollectivePass pass;
  pass.name = std::move(name);
  for (const StagePass& stage : stages) {
    pass.lists.push_back(stage.body);
    pass.lists.insert(pass.lists.end(), stage.tails.begin(), stage.tails.end());
  }
  const Mesh& mesh = groups.mesh();
  pass.ranks.resize(static_cast<size_t>(mesh.world()));
  for (int64_t rank = 0; rank < mesh.world(); ++rank) {
    const StagePass& stage = stages[static_cast<size_t>(mesh.CoordinateOf(rank).pipeline)];
    const size_t index = stage.tail_of.size() == 1 ? 0 : static_cast<size_t>(groups.IndexOf(shard, rank));
    pass.ranks[static_cast<size_t>(rank)].parts = {
        stage.body.get(), stage.tails[static_cast<size_t>(stage.tail_of[index])].get()};
  }
  return pass;
}

}  // namespace

OperationList CollectivePass::ListOf(int64_t rank) const {
  OperationList list;
  for (const OperationList* part : ranks[static_cast<size_t>(rank)].parts) {
    if (part != nullptr) list.insert(list.end(), part->begin(), part->end());
  }
  return list;
}

void CollectivePass::Replace(int64_t rank, OperationList list) {
  lists.push_back(std::make_shared<const OperationList>(std::move(list)));
  ranks[static_cast<size_t>(rank)].parts = {lists.back().get(), nullptr};
}

CollectivePlan PlanCollectives(const RunConfig& config, const Mesh& mesh, int64_t vocab) {
  const int stages = mesh.degrees().pipeline;
  const int microbatches = static_cast<int>(config.Microbatches());
  const Schedule schedule =
      MakeSchedule(config.parallel.schedule, {.ranks = stages, .microbatches = microbatches}).value();
  const Schedule forward_only = ForwardOnly(stages, microbatches);
  const MeshGroups groups(mesh, config.zero.shard_ranks);
  CollectivePlan plan;
  plan.evaluated = std::min<int64_t>(config.evaluate.batches, 2);

  std::vector<StagePass> first, later, evaluation, after;
  for (int stage = 0; stage < stages; ++stage) {
    StagePlanner planner(config, vocab, SizesOf(groups, mesh.RankAt({.pipeline = stage})), stage);
    first.push_back(planner.Step(schedule));
    later.push_back(planner.Step(schedule));
    if (plan.evaluated == 0) continue;
    evaluation.push_back(planner.Evaluation(forward_only, plan.evaluated));
    after.push_back(planner.Step(schedule));
  }
  const bool hybrid = groups.SizeOf(GroupKind::kShard, 0) * groups.SizeOf(GroupKind::kReplica, 0) > 1;
  const GroupKind shard = hybrid ? GroupKind::kShard : GroupKind::kDataSequence;
  std::vector<const std::vector<StagePass>*> distinct;
  const auto add = [&](CollectivePlan::Moment moment, const char* name, const std::vector<StagePass>& pass) {
    int& at = plan.at[static_cast<size_t>(moment)];
    at = -1;
    if (pass.empty()) return;
    for (size_t d = 0; d < distinct.size() && at < 0; ++d) {
      const bool same = std::equal(pass.begin(), pass.end(), distinct[d]->begin(),
                                   [](const StagePass& a, const StagePass& b) { return Same(a, b); });
      if (same) at = static_cast<int>(d);
    }
    if (at >= 0) return;
    at = static_cast<int>(distinct.size());
    distinct.push_back(&pass);
    plan.passes.push_back(Assemble(name, pass, groups, shard));
  };
  add(CollectivePlan::Moment::kStep, "step", later);
  add(CollectivePlan::Moment::kFirstStep, "first step", first);
  add(CollectivePlan::Moment::kEvaluation, "evaluation", evaluation);
  add(CollectivePlan::Moment::kStepAfterEvaluation, "step after an evaluation", after);
  return plan;
}

}  // namespace orthant
