// One step of one pipeline rank: what to do, on which of its chunks, with which microbatch. Pure data.
#pragma once

#include <cstdint>

namespace orthant {

enum class ActionKind : uint8_t {
  kForward,
  kBackward,        // gradients of the input and of the parameters together
  kBackwardInput,   // the input's gradient alone ...
  kBackwardWeight,  // ... and, later, the parameters'
  kSendActivation,  // the chunk's output, to the stage after it
  kRecvActivation,  // the chunk's input, from the stage before it
  kSendGradient,    // the gradient of the chunk's input, to the stage before it
  kRecvGradient,    // the gradient of the chunk's output, from the stage after it
  kGatherParams,    // the chunk's parameters become whole (ZeRO 3)
  kReleaseParams,
  kReduceGrads,  // the chunk's gradients are reduced over data x sequence
};
inline constexpr int kActionKinds = 11;

struct Action {
  ActionKind kind = ActionKind::kForward;
  int chunk = 0;
  int microbatch = 0;  // -1 for the kinds that concern no microbatch
  friend bool operator==(const Action&, const Action&) = default;
};

constexpr bool IsSend(ActionKind kind) {
  return kind == ActionKind::kSendActivation || kind == ActionKind::kSendGradient;
}
constexpr bool IsRecv(ActionKind kind) {
  return kind == ActionKind::kRecvActivation || kind == ActionKind::kRecvGradient;
}
constexpr bool IsCommunication(ActionKind kind) {
  return IsSend(kind) || IsRecv(kind);
}
// Forward, or any kind of backward.
constexpr bool IsCompute(ActionKind kind) {
  return kind <= ActionKind::kBackwardWeight;
}
constexpr bool HasMicrobatch(ActionKind kind) {
  return kind < ActionKind::kGatherParams;
}

}  // namespace orthant
