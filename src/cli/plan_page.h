// A plan as a page and as pictures.
#pragma once

#include "absl/status/status.h"
#include "cli/plan.h"
#include "orthant/plan/plan_report.h"
#include "orthant/report/plan_page.h"

namespace orthant {

PlanPageData PageOf(const PlanReport& report, const std::string& run);

// What --html and --svg ask for; nothing without them. A line on stderr for each file.
absl::Status WritePlanPictures(const PlanReport& report, const PlanLayoutOptions& options);

}  // namespace orthant
