#include "orthant/pipeline_parallel/row_walk.h"

#include <algorithm>

namespace orthant {

void RowWalk::Walk() {
  for (size_t i = 0; i < row_.size(); ++i) {
    if (IsCommunication(row_[i].kind)) {
      if (issued_ <= i) Issue(row_[i]);
      issued_ = std::max(issued_, i + 1);
      continue;
    }
    issued_ = std::max(issued_, i + 1);
    PostReceivesAhead();
    Perform(row_[i]);
  }
}

// Goes on to post receives from where communication stands, until a send comes (its compute is still to run).
void RowWalk::PostReceivesAhead() {
  while (issued_ < row_.size() && posted_ < kMostReceives) {
    const Action& next = row_[issued_];
    if (IsSend(next.kind)) return;
    if (IsRecv(next.kind)) Issue(next);
    ++issued_;
  }
}

}  // namespace orthant
