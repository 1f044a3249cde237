// PlannedUnit: what a ShardedUnit communicates, without its memory, in the same queue; and the tape on which
// it and the layers leave their operations. Each function is its model's; sharded_unit.h says what they mean.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "orthant/data_parallel/unit_plan.h"
#include "orthant/data_parallel/unit_queue.h"
#include "orthant/train/collective_plan.h"

namespace orthant {

// The list of one rank of a stage as it grows.
class CollectiveTape {
 public:
  using Sizes = std::array<int64_t, kGroupKinds>;  // of the rank's groups

  // An all-reduce of the part of a range that lies in a rank's share: at `position` of the list, of as many
  // elements as [begin, end) has in common with [share x index, share x (index + 1)), and left out where that
  // is none.
  struct Varying {
    size_t position = 0;
    int64_t begin = 0, end = 0, share = 0;
  };
  struct Recording {
    OperationList list;
    std::vector<Varying> varying;

    // The list of the rank at `index` among the shards.
    OperationList At(int64_t index) const;
    std::vector<int64_t> CountsAt(int64_t index) const;
  };

  explicit CollectiveTape(const Sizes& sizes) : sizes_(sizes) {}

  int64_t SizeOf(GroupKind kind) const { return sizes_[static_cast<size_t>(kind)]; }
  void Run(PlannedOperation op);
  // -> the slot to wait for; -1 when nothing is to be waited for.
  int Issue(PlannedOperation op);
  // Waits, and sets *slot to -1.
  void Wait(int* slot);
  void RunVarying(const PlannedOperation& op, int64_t begin, int64_t end, int64_t share);

  // Hands over what was recorded since.
  Recording Take();

 private:
  Sizes sizes_;
  Recording recording_;
  std::vector<PlannedOperation> issued_;  // by slot
  std::set<int> free_;                    // the lowest is taken first, so that equal passes have equal slots
};

// What the units of a rank have in common.
struct PlannedUnitOptions {
  at::ScalarType dtype = at::kFloat, reduce_dtype = at::kFloat;
  int zero_stage = 0;
  GroupKind shard = GroupKind::kDataSequence;  // stages 1 to 3
  GroupKind replica = GroupKind::kReplica;     // ranks that hold the same; a group of one: none
  bool release_after_forward = true;
  bool tensor_partial = false;
  UnitQueue* queue = nullptr;
  CollectiveTape* tape = nullptr;
};

class PlannedUnit : public QueuedUnit {
 public:
  PlannedUnit(const UnitPlan& plan, const PlannedUnitOptions& options);
  PlannedUnit(const PlannedUnit&) = delete;
  PlannedUnit& operator=(const PlannedUnit&) = delete;

  void TieToPair() { tied_ = true; }
  void BeginStep(int microbatches);
  void Read();              // a parameter's value()
  void AddGradient();       // a parameter's grad()
  void ContributionDone();  // of one parameter
  void AfterForward();
  void ReleaseValues();
  void FinishReduce();
  void StartShare();
  void FinishShare() { options_.tape->Wait(&gather_); }

  int64_t value_bytes() const override { return value_bytes_; }
  bool gathered() const override { return values_present_; }
  bool gathering() const override { return gathering_; }
  void StartGather() override;
  void PrefetchValues() override {}
  void FinishReduction() override;

 private:
  int64_t share() const;
  void FinishGather();
  void StartReduce();
  void WaitReduction();
  PlannedOperation Operation(GroupKind group, OpKind kind, at::ScalarType dtype, int64_t count,
                             const char* what) const;

  PlannedUnitOptions options_;
  int64_t elements_ = 0, uses_ = 0, replicated_begin_ = 0, replicated_end_ = 0, value_bytes_ = 0;
  bool tied_ = false;
  int64_t uses_left_ = 0, microbatches_left_ = 0;
  bool values_present_ = true, gradients_present_ = true, gradients_held_ = true;
  bool gathering_ = false, reducing_ = false;
  int gather_ = -1, reduce_ = -1;  // slots
};

}  // namespace orthant
