#include "orthant/pipeline_parallel/schedule.h"

namespace orthant {

Peer PeerOf(const Schedule& schedule, int rank, const Action& communication) {
  const int stage = schedule.StageOf(rank, communication.chunk);
  int other = stage;
  ActionKind kind = communication.kind;
  switch (communication.kind) {
    case ActionKind::kSendActivation:
      other = stage + 1, kind = ActionKind::kRecvActivation;
      break;
    case ActionKind::kRecvActivation:
      other = stage - 1, kind = ActionKind::kSendActivation;
      break;
    case ActionKind::kSendGradient:
      other = stage - 1, kind = ActionKind::kRecvGradient;
      break;
    case ActionKind::kRecvGradient:
      other = stage + 1, kind = ActionKind::kSendGradient;
      break;
    default:
      break;
  }
  return {schedule.RankOf(other), {kind, schedule.ChunkOf(other), communication.microbatch}};
}

}  // namespace orthant
