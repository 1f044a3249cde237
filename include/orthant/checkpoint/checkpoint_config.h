// The `checkpoint` section: when the training state is saved, how many saves are kept, and where a run goes
// on.
#pragma once

#include <cstdint>
#include <string>

#include "orthant/config/fields.h"

namespace orthant {

struct CheckpointConfig {
  int64_t every = 500;         // steps; 0: not by steps
  double every_minutes = 0.0;  // 0: not by time
  bool at_end = true;
  std::string content = "all";  // all | parameters
  int64_t keep_last = 2;
  int64_t keep_every = 0;
  bool asynchronous = true;
  int64_t writers = 0;
  std::string resume = "latest";  // latest | never | a step
};

void Describe(Fields& fields, CheckpointConfig& config);

}  // namespace orthant
