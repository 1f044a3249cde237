// What a process can tell of its host.
#pragma once

#include <cstdint>
#include <string>

#include "orthant/bench/link_file.h"

namespace orthant {

std::string HostName();
// Bytes that could be had without swapping; -1: not known.
int64_t AvailableMemory();
// Date, host, processor and cores; the rest is left as it is.
LinkFile DescribeMachine();

}  // namespace orthant
