// ShadowUnit: what a ShardedUnit holds, without holding it, in the same queue. Each function is its model's,
// with bytes for tensors; sharded_unit.h says what they mean.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/data_parallel/state_store.h"
#include "orthant/data_parallel/unit_plan.h"
#include "orthant/data_parallel/unit_queue.h"
#include "train/memory_ledger.h"

namespace orthant {

// What the units of a run have in common. Sizes are of an element.
struct ShadowOptions {
  int64_t value_size = 4, gradient_size = 4, reduce_size = 4;
  bool masters = false;  // 16-bit values
  bool one_type = true;  // gradients travel as they accumulate
  int zero_stage = 0;
  int64_t shards = 1;
  bool replicas = false;  // beyond the shards
  bool release_after_forward = true;
  Tier parameters = Tier::kDevice;
  MemoryLedger* ledger = nullptr;
  UnitQueue* queue = nullptr;
};

class ShadowUnit : public QueuedUnit {
 public:
  // As the constructor of ShardedUnit: allocates and draws.
  ShadowUnit(const UnitPlan& plan, const ShadowOptions& options);
  ShadowUnit(const ShadowUnit&) = delete;
  ShadowUnit& operator=(const ShadowUnit&) = delete;

  void BeginStep(int64_t microbatches);
  void Read();         // a parameter's value()
  void DoneReading();  // of a tile
  void AddGradient();  // a parameter's grad()
  void Done();         // ContributionDone
  void AfterForward();
  void Release();
  void FinishReduce();
  bool gathered() const override { return present_; }
  bool gathering() const override { return gathering_; }
  void StartGather() override;
  void PrefetchValues() override {}  // staging buffers are there from the start
  void FinishReduction() override;
  MemoryLedger::Held TakeMaster() { return std::move(master_); }

  const std::string& name() const { return name_; }
  bool present() const { return present_; }
  int64_t elements() const { return elements_; }
  int64_t parameters() const { return parameters_; }  // elements without padding
  int64_t share() const { return elements_ / options_.shards; }
  int64_t value_bytes() const override { return elements_ * options_.value_size; }

 private:
  void StartReduce();
  void WaitReduction();

  std::string name_;
  ShadowOptions options_;
  int64_t elements_ = 0, parameters_ = 0, uses_ = 0, uses_left_ = 0, microbatches_left_ = 0;
  bool present_ = true, gradients_present_ = true, gathering_ = false, reducing_ = false,
       reduced_before_ = false;
  MemoryLedger::Held values_, gradients_, value_shard_, gradient_shard_, master_, sent_, received_;
};

}  // namespace orthant
