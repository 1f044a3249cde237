// Text from one rank to all of a group.
#pragma once

#include <string>

#include "orthant/comm/communicator.h"

namespace orthant {

// `text` of rank `root` of `group`, on every rank. Collective.
std::string BroadcastText(const std::string& text, int root, Communicator& group);

}  // namespace orthant
