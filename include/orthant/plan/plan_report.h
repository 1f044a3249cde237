// A plan for people, for programs, and as the `parallel`, `zero`, `memory` and `train` keys of a run.
#pragma once

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "orthant/core/terminal.h"
#include "orthant/plan/measured_layouts.h"
#include "orthant/plan/rules.h"
#include "orthant/plan/search.h"

namespace orthant {

struct PlanReport {
  SearchRequest request;
  SearchResult result;
  std::vector<std::string> rejections;
  std::vector<RuleVerdict> rules;        // empty: not asked for
  std::vector<MeasuredLayout> measured;  // empty: not asked for
};

std::string PlanText(const PlanReport& report, TableStyle style);
nlohmann::ordered_json PlanJson(const PlanReport& report);
// YAML that sets the layout, to be included in a run.
std::string LayoutYaml(const PlannedLayout& layout, const std::string& comment);
// The same as KEY=VALUE each.
std::vector<std::string> LayoutOverrides(const PlannedLayout& layout);

}  // namespace orthant
