// What the judges share: names, and which hosts are unlike the most.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "orthant/doctor/survey.h"

namespace orthant::doctor {

// The host of a rank.
std::string NameOf(const Survey& survey, int rank);

// Hosts whose value is not the one that most hosts have, as "'4.1.4' on h1, h2, '4.1.5' on h4"; "" when all
// agree. The value of a host is that of the first of its ranks that differs from the first one's.
std::string Minority(const Survey& survey, const std::function<std::string(const RankFacts&)>& value);

// Machines (running kernels) with more ranks than cores that these may use: what is measured there is noisy.
struct Crowded {
  std::string host;
  int ranks = 0;
  double cores = 0;
};
std::vector<Crowded> CrowdedMachines(const Survey& survey);

}  // namespace orthant::doctor
