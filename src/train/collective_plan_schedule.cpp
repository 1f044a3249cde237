#include "train/collective_plan_schedule.h"

#include <stdexcept>

namespace orthant {

void PlannedSchedule::Run() {
  Walk();
  while (!sends_.empty()) RetireOldestSend();
}

void PlannedSchedule::RetireOldestSend() {
  tape_.Wait(&sends_.front());
  sends_.pop_front();
}

void PlannedSchedule::Issue(const Action& action) {
  const bool activation =
      action.kind == ActionKind::kSendActivation || action.kind == ActionKind::kRecvActivation;
  PlannedOperation op;
  op.group = GroupKind::kPipeline;
  op.kind = IsRecv(action.kind) ? OpKind::kRecv : OpKind::kSend;
  op.dtype = dtype_;
  op.count = elements_;
  op.peer = PeerOf(schedule_, rank_, action).rank;
  op.label = Label(activation ? "pipeline.activation" : "pipeline.gradient", -1, action.microbatch);
  if (IsRecv(action.kind)) {
    inbox_[{action.kind, action.microbatch}] = tape_.Issue(op);
    ++posted_;
    return;
  }
  while (sends_.size() >= kMostSends) RetireOldestSend();
  sends_.push_back(tape_.Issue(op));
}

void PlannedSchedule::Perform(const Action& action) {
  const bool forward = action.kind == ActionKind::kForward;
  if (!forward && action.kind != ActionKind::kBackward) {
    throw std::logic_error("the plan knows no action but forward and backward: " +
                           CellText(schedule_, rank_, action));
  }
  const bool received = forward ? rank_ > 0 : rank_ + 1 < schedule_.ranks;
  if (received) {
    const auto found =
        inbox_.find({forward ? ActionKind::kRecvActivation : ActionKind::kRecvGradient, action.microbatch});
    --posted_;
    tape_.Wait(&found->second);
    inbox_.erase(found);
  }
  compute_(action.microbatch, forward);
}

}  // namespace orthant
