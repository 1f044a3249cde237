// OperationFilter: what a rehearsal of faults puts between a rank and its operations. None in a normal run,
// where it costs one branch an operation.
#pragma once

#include "orthant/comm/operation.h"

namespace orthant {

class OperationFilter {
 public:
  enum class Action : uint8_t {
    kPass,    // the operation runs, as `op` now stands
    kSkip,    // nothing happens; an asynchronous one is complete at once
    kDouble,  // it runs twice; the first time blocking
  };

  virtual ~OperationFilter() = default;

  // Called by the rank's own thread before each operation on a group of several ranks. May change count (not
  // beyond the tensors), dtype, peer, reduce and label; its sequence number is not set yet.
  virtual Action Before(Operation* op) = 0;
};

}  // namespace orthant
