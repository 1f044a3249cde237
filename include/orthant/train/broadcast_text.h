// Text and statuses that every rank is to have, from the one that has them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "orthant/comm/communicator.h"

namespace orthant {

// The root's text, on every rank of the group. Collective.
std::string BroadcastText(const std::string& text, int root, Communicator& group);

// The text of the lowest rank whose `mine` is not empty, on every rank; "" when all are. Collective.
std::string FirstText(const std::string& mine, Communicator& group);

// The failure of the lowest rank that has one, the same on every rank; OK when none has. Collective.
absl::Status AgreeOnStatus(const absl::Status& mine, Communicator& group);

}  // namespace orthant
