// RowWalk: the order in which a rank goes through its row of a lowered schedule - receives are posted ahead
// of the action that is computed. The executor follows it, and so does whatever predicts what the executor
// does.
#pragma once

#include <cstddef>
#include <vector>

#include "orthant/pipeline_parallel/action.h"

namespace orthant {

// Received tensors that wait for their use: that of the next action and of the one after.
inline constexpr int kMostReceives = 2;
// Sends whose receiver has not come yet. Any number from 1 is free of deadlock; more lets a rank run further
// ahead.
inline constexpr size_t kMostSends = 8;

// One row, once. The row outlives this.
class RowWalk {
 public:
  explicit RowWalk(const std::vector<Action>& row) : row_(row) {}
  virtual ~RowWalk() = default;
  RowWalk(const RowWalk&) = delete;
  RowWalk& operator=(const RowWalk&) = delete;

 protected:
  // Calls Issue for each send and receive, and Perform for each other action, of which the latter stand in
  // the row's order. A receive may be issued before the computing that stands in front of it, never before a
  // send.
  void Walk();

  virtual void Issue(const Action& action) = 0;
  virtual void Perform(const Action& action) = 0;

  int posted_ = 0;  // receives issued and not yet used: counted by the subclass

 private:
  void PostReceivesAhead();

  const std::vector<Action>& row_;
  size_t issued_ = 0;  // communication stands here
};

}  // namespace orthant
