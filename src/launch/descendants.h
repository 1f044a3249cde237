// The processes below this one, as /proc shows them.
#pragma once

#include <sys/types.h>

#include <vector>

namespace orthant {

// Children, their children and so on, that have not ended (one that waits to be noticed by its parent has).
std::vector<pid_t> RunningDescendants();

}  // namespace orthant
