#include "orthant/optim/adamw.h"

#include <utility>

#include "ATen/ATen.h"
#include "orthant/memory/account.h"
#include "orthant/optim/adamw_update.h"

namespace orthant {

AdamW::AdamW(std::vector<ShardedUnit*> units, const OptimizerConfig& config,
             std::unique_ptr<StateStore> store)
    : units_(std::move(units)), config_(config), store_(store ? std::move(store) : StateStore::Create({})) {
  for (ShardedUnit* unit : units_) slots_.push_back(AddState(*unit));
}

int AdamW::AddState(ShardedUnit& unit) {
  const OperationScope operation("optimizer.state");
  const MemoryScope scope(store_->tier() == Tier::kDevice ? MemoryTag::kOptimizer : MemoryTag::kHost);
  const at::Tensor master = unit.TakeMaster();
  const int64_t share = unit.share();
  const at::ScalarType dtype = master.defined() ? at::kFloat : unit.gradients().scalar_type();
  at::Tensor state = at::zeros({share * (master.defined() ? 3 : 2)}, unit.gradients().options().dtype(dtype));
  if (master.defined()) state.narrow(0, 2 * share, share).copy_(master);
  state_bytes_ += static_cast<int64_t>(state.nbytes());
  return store_->Add(state);
}

void AdamW::Update(ShardedUnit& unit, const at::Tensor& state, int64_t step, double lr,
                   double gradient_scale) {
  const at::Tensor values = unit.OpenValues(), gradients = unit.gradients();
  const int64_t share = unit.share();
  const bool masters = state.numel() > 2 * share;
  for (const Segment& segment : unit.segments()) {
    const int64_t begin = segment.begin, count = segment.end - segment.begin;
    const AdamWStep numbers{lr,
                            config_.betas[0],
                            config_.betas[1],
                            config_.eps,
                            segment.decay ? config_.weight_decay : 0.0,
                            gradient_scale,
                            step};
    const at::Tensor value = values.narrow(0, begin, count);
    AdamWUpdate(masters ? state.narrow(0, 2 * share + begin, count) : value,
                gradients.narrow(0, begin, count), state.narrow(0, begin, count),
                state.narrow(0, share + begin, count), masters ? value : at::Tensor(), numbers);
  }
  unit.CloseValues(/*changed=*/true);
}

void AdamW::Step(int64_t step, double lr, double gradient_scale,
                 const std::function<void(int unit)>& before_update) {
  const PhaseScope phase(StepPhase::kOptimizer);
  for (size_t u = 0; u < units_.size(); ++u) {
    const at::Tensor state = store_->Open(slots_[u]);
    if (u + 1 < units_.size()) {  // read while this one is updated
      store_->Prefetch(slots_[u + 1]);
      units_[u + 1]->PrefetchValues();
    }
    if (before_update) before_update(static_cast<int>(u));
    Update(*units_[u], state, step, lr, gradient_scale);
    store_->Close(slots_[u], /*changed=*/true);
  }
}

}  // namespace orthant
