// The rules of thumb for deciding on a parallelism strategy, in words for the case at hand, and whether the
// model of time and memory agrees. The rules: ALCF's "Parallel Training Methods" (S. Foreman), "Deciding on a
// Parallelism Strategy". Pure.
#pragma once

#include <string>
#include <vector>

#include "orthant/plan/search.h"

namespace orthant {

struct RuleVerdict {
  std::string rule;  // in words
  bool agrees = true;
  std::string because;  // the figures
};

// For one device, one node or many, whichever `request` is.
std::vector<RuleVerdict> ApplyRules(const SearchRequest& request, const SearchResult& result);

}  // namespace orthant
