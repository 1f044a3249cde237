#include "orthant/data_parallel/unit_queue.h"

#include <algorithm>

namespace orthant {

void UnitQueue::Enter(Direction direction) {
  direction_ = direction;
  used_ = 0;
}

void UnitQueue::Used(QueuedUnit* unit) {
  std::vector<QueuedUnit*>& order = order_[static_cast<size_t>(direction_)];
  if (used_ >= order.size() || order[used_] != unit) {
    order.resize(used_);
    order.push_back(unit);
  }
  ++used_;
  if (prefetch_bytes_ == 0) return;
  int64_t bytes = 0;
  for (size_t i = used_; i < order.size(); ++i) {
    bytes += order[i]->value_bytes();
    const bool fits = i == used_ || bytes <= prefetch_bytes_;
    if (!fits || order[i]->gathered()) return;
    if (order[i]->gathering()) continue;
    if (gathers_ >= most_ahead_) return order[i]->PrefetchValues();  // the staging buffers are taken
    order[i]->StartGather();
  }
}

void UnitQueue::Reduced(QueuedUnit* unit) {
  reducing_.erase(std::remove(reducing_.begin(), reducing_.end(), unit), reducing_.end());
}

void UnitQueue::MakeRoom() {
  while (reducing_.size() > 1) reducing_.front()->FinishReduction();
}

}  // namespace orthant
