#include "train/collective_plan_unit.h"

#include <algorithm>
#include <utility>

#include "ATen/ATen.h"

namespace orthant {

using Mode = PlannedOperation::Mode;

std::vector<int64_t> CollectiveTape::Recording::CountsAt(int64_t index) const {
  std::vector<int64_t> counts;
  counts.reserve(varying.size());
  for (const Varying& v : varying) {
    counts.push_back(
        std::max<int64_t>(0, std::min(v.end, v.share * (index + 1)) - std::max(v.begin, v.share * index)));
  }
  return counts;
}

OperationList CollectiveTape::Recording::At(int64_t index) const {
  const std::vector<int64_t> counts = CountsAt(index);
  OperationList mine;
  mine.reserve(list.size());
  size_t next = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool varies = next < varying.size() && varying[next].position == i;
    const int64_t count = varies ? counts[next++] : list[i].count;
    if (varies && count == 0) continue;
    mine.push_back(list[i]);
    mine.back().count = count;
  }
  return mine;
}

void CollectiveTape::Run(PlannedOperation op) {
  if (SizeOf(op.group) == 1) return;
  op.mode = Mode::kBlocking;
  recording_.list.push_back(op);
}

int CollectiveTape::Issue(PlannedOperation op) {
  if (SizeOf(op.group) == 1) return -1;
  if (free_.empty()) {
    free_.insert(static_cast<int>(issued_.size()));
    issued_.emplace_back();
  }
  op.mode = Mode::kIssue;
  op.slot = *free_.begin();
  free_.erase(free_.begin());
  issued_[static_cast<size_t>(op.slot)] = op;
  recording_.list.push_back(op);
  return op.slot;
}

void CollectiveTape::Wait(int* slot) {
  if (*slot < 0) return;
  PlannedOperation wait = issued_[static_cast<size_t>(*slot)];
  wait.mode = Mode::kWait;
  recording_.list.push_back(wait);
  free_.insert(*slot);
  *slot = -1;
}

void CollectiveTape::RunVarying(const PlannedOperation& op, int64_t begin, int64_t end, int64_t share) {
  if (SizeOf(op.group) == 1) return;
  recording_.varying.push_back({recording_.list.size(), begin, end, share});
  Run(op);
}

CollectiveTape::Recording CollectiveTape::Take() {
  return std::exchange(recording_, {});
}

PlannedUnit::PlannedUnit(const UnitPlan& plan, const PlannedUnitOptions& options) : options_(options) {
  const int64_t shards = options_.zero_stage == 0 ? 1 : options_.tape->SizeOf(options_.shard);
  elements_ = PlannedElements(plan.specs, shards);
  value_bytes_ = elements_ * static_cast<int64_t>(c10::elementSize(options_.dtype));
  // Sharded matrices first, then what every tensor rank holds whole (ShardedUnit::LayOut).
  for (const ParameterSpec& spec : plan.specs) {
    uses_ += spec.uses;
    if (spec.replicated_over_tensor()) {
      replicated_end_ += PlannedElements(spec);
    } else if (spec.decay) {
      replicated_begin_ += PlannedElements(spec);
    }
  }
  replicated_end_ += replicated_begin_;
  if (options_.zero_stage >= 2) gradients_present_ = gradients_held_ = false;
  if (options_.zero_stage == 3) values_present_ = false;
}

int64_t PlannedUnit::share() const {
  return options_.zero_stage == 0 ? elements_ : elements_ / options_.tape->SizeOf(options_.shard);
}

PlannedOperation PlannedUnit::Operation(GroupKind group, OpKind kind, at::ScalarType dtype, int64_t count,
                                        const char* what) const {
  PlannedOperation op;
  op.group = group;
  op.kind = kind;
  op.dtype = dtype;
  op.count = count;
  op.label = what;
  return op;
}

void PlannedUnit::StartGather() {
  if (values_present_ || gathering_) return;
  gather_ = options_.tape->Issue(
      Operation(options_.shard, OpKind::kAllGather, options_.dtype, share(), "zero.gather"));
  gathering_ = true;
  options_.queue->GatherBegins();
}

void PlannedUnit::FinishGather() {
  options_.tape->Wait(&gather_);
  gathering_ = false;
  options_.queue->GatherEnds();
}

void PlannedUnit::Read() {
  if (values_present_) return;
  StartGather();
  FinishGather();
  values_present_ = true;
  options_.queue->Used(this);
}

void PlannedUnit::ReleaseValues() {
  if (options_.zero_stage < 3) return;
  if (gathering_) FinishGather();
  values_present_ = false;
}

void PlannedUnit::AfterForward() {
  if (options_.release_after_forward) ReleaseValues();
}

void PlannedUnit::BeginStep(int microbatches) {
  microbatches_left_ = microbatches;
  uses_left_ = uses_;
  if (options_.zero_stage < 2) return;
  gradients_held_ = gradients_present_ = false;
}

void PlannedUnit::AddGradient() {
  if (gradients_present_) return;
  WaitReduction();
  if (!gradients_held_) {
    options_.queue->MakeRoom();
    gradients_held_ = true;
  }
  gradients_present_ = true;
}

void PlannedUnit::ContributionDone() {
  if (--uses_left_ > 0) return;
  uses_left_ = uses_;
  --microbatches_left_;
  if (options_.zero_stage >= 2 || microbatches_left_ == 0) StartReduce();
  if (options_.release_after_forward || microbatches_left_ == 0) ReleaseValues();
}

void PlannedUnit::StartReduce() {
  if (options_.zero_stage >= 2) {
    if (!gradients_present_) return;
    gradients_present_ = false;
    options_.queue->Reducing(this);
  }
  reducing_ = true;
  const bool whole = options_.zero_stage == 0;
  reduce_ = options_.tape->Issue(Operation(whole ? options_.replica : options_.shard,
                                           whole ? OpKind::kAllReduce : OpKind::kReduceScatter,
                                           options_.reduce_dtype, share(), "zero.reduce"));
}

void PlannedUnit::WaitReduction() {
  if (!reducing_) return;
  options_.tape->Wait(&reduce_);
  reducing_ = false;
  if (options_.zero_stage >= 2) options_.queue->Reduced(this);
}

void PlannedUnit::FinishReduction() {
  WaitReduction();
  if (options_.zero_stage >= 2) gradients_held_ = false;
}

void PlannedUnit::FinishReduce() {
  FinishReduction();
  CollectiveTape& tape = *options_.tape;
  const auto sum = [&](GroupKind group, int64_t count, const char* what) {
    return Operation(group, OpKind::kAllReduce, options_.reduce_dtype, count, what);
  };
  if (options_.zero_stage > 0) tape.Run(sum(options_.replica, share(), "zero.replicas"));
  if (options_.tensor_partial && replicated_begin_ < replicated_end_) {
    tape.RunVarying(sum(GroupKind::kTensor, 0, "grad.replicated"), replicated_begin_, replicated_end_,
                    share());
  }
  if (tied_) tape.Run(sum(GroupKind::kEmbeddingPair, share(), "grad.tied"));
}

void PlannedUnit::StartShare() {
  if (options_.zero_stage != 1 && options_.zero_stage != 2) return;
  gather_ = options_.tape->Issue(
      Operation(options_.shard, OpKind::kAllGather, options_.dtype, share(), "zero.share"));
}

}  // namespace orthant
