// What `orthant launch` found and what it runs, for people and as JSON.
#pragma once

#include <string>

#include "nlohmann/json.hpp"
#include "orthant/launch/cluster_config.h"
#include "orthant/launch/launch_plan.h"

namespace orthant {

// A line a fact: scheduler, hosts, host file, device, backend, ranks per host, world size, binding,
// environment, notes.
std::string FactsText(const LaunchPlan& plan, const ClusterConfig& cluster);
// The same facts, with the line as words ("command") and as text ("line").
nlohmann::ordered_json FactsJson(const LaunchPlan& plan, const ClusterConfig& cluster);

}  // namespace orthant
