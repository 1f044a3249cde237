// AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2), one pass over each unit's share, with its
// state on the device, in host memory or in files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/data_parallel/state_store.h"
#include "orthant/optim/optimizer_config.h"

namespace orthant {

// Moments, and fp32 masters under 16-bit values, for what this rank updates of each unit (its slice under
// ZeRO). One rank's thread.
class AdamW {
 public:
  // `store` holds the state; null: the device.
  AdamW(std::vector<ShardedUnit*> units, const OptimizerConfig& config,
        std::unique_ptr<StateStore> store = nullptr);
  // One update of every unit; gradients must be reduced. Decay applies to segments marked so.
  // `before_update`, where given, is called with each unit's index before its values and state change.
  void Step(int64_t step, double lr, double gradient_scale,
            const std::function<void(int unit)>& before_update = nullptr);
  // The state of a unit, [2 or 3 x share]: first moments, second moments, masters under 16-bit values. It may
  // live elsewhere, so it is opened for use and closed after it.
  at::Tensor OpenState(int unit) { return store_->Open(slots_[unit]); }
  void CloseState(int unit, bool changed) { store_->Close(slots_[unit], changed); }
  // Bytes of moments and masters, wherever they are.
  int64_t StateBytes() const { return state_bytes_; }
  const StateStore& store() const { return *store_; }

 private:
  int AddState(ShardedUnit& unit);
  void Update(ShardedUnit& unit, const at::Tensor& state, int64_t step, double lr, double gradient_scale);

  std::vector<ShardedUnit*> units_;
  OptimizerConfig config_;
  std::unique_ptr<StateStore> store_;
  std::vector<int>
      slots_;  // one a unit: [first moment, second moment, master where there is one], each [share]
  int64_t state_bytes_ = 0;
};

}  // namespace orthant
