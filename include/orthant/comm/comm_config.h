// The `comm` section of the configuration: which backend carries the ranks, and how long an operation may
// take.
#pragma once

#include <string>

#include "orthant/config/fields.h"

namespace orthant {

struct CommConfig {
  std::string backend = "auto";
  double timeout = 600.0;         // seconds
  double start_timeout = 1800.0;  // seconds, until the first step is done
  bool check = false;
};

void Describe(Fields& fields, CommConfig& config);

}  // namespace orthant
