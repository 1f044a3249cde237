#include "train/shadow_step.h"

#include <utility>

namespace orthant {

void ShadowStep::Run() {
  Walk();
  sends_.clear();
}

void ShadowStep::Issue(const Action& action) {
  const std::pair<ActionKind, int> key{action.kind, action.microbatch};
  if (IsRecv(action.kind)) {
    inbox_[key] = ledger_.New(MemoryTag::kActivations, activation_bytes_);
    ++posted_;
    return;
  }
  while (sends_.size() >= kMostSends) sends_.pop_front();
  sends_.push_back(std::move(outbox_[key]));
  outbox_.erase(key);
}

void ShadowStep::Perform(const Action& action) {
  const bool forward = action.kind == ActionKind::kForward;
  const int mb = action.microbatch;
  queue_.Enter(forward ? UnitQueue::Direction::kForward : UnitQueue::Direction::kBackward);
  const auto input = [&](ActionKind kind) -> Held {
    const auto found = inbox_.find({kind, mb});
    if (found == inbox_.end()) return nullptr;
    --posted_;
    Held held = std::move(found->second);
    inbox_.erase(found);
    return held;
  };
  if (forward) {
    ledger_.Enter(StepPhase::kForward);
    const Held received = input(ActionKind::kRecvActivation);
    ShadowStage::Saved saved = stage_.Forward(received);
    ledger_.KeepTemporaries();
    if (HasNext()) outbox_[{ActionKind::kSendActivation, mb}] = saved.output;
    saved_[mb] = std::move(saved);
    return;
  }
  ledger_.Enter(StepPhase::kBackward);
  const Held received = input(ActionKind::kRecvGradient);
  ShadowStage::Saved saved = std::move(saved_[mb]);
  saved_.erase(mb);
  const Held kept_input = saved.input, kept_output = saved.output;  // until backward returns
  Held gradient = stage_.Backward(std::move(saved), received);
  if (rank_ > 0) outbox_[{ActionKind::kSendGradient, mb}] = std::move(gradient);
}

}  // namespace orthant
