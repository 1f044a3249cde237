// Texts between ranks, packed into int64, which every backend carries.
#pragma once

#include <string>
#include <vector>

#include "orthant/comm/communicator.h"

namespace orthant::doctor {

// Every rank's text, by rank, on rank 0; empty elsewhere. Collective.
std::vector<std::string> GatherTexts(const std::string& own, Communicator& world);
// Rank 0's text, everywhere. Collective.
std::string ShareText(const std::string& text, Communicator& world);

}  // namespace orthant::doctor
