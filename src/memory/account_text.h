// The account in words and tables, for people.
#pragma once

#include <string>
#include <vector>

#include "memory/context.h"

namespace orthant {

// OutOfMemory's message: what was asked for, by whom, what is held, by tag and by operation.
std::string OutOfMemoryText(int64_t limit, int64_t requested, const MemoryContext& thread,
                            const TagBytes& held, const std::vector<MemoryHolder>& holders);

}  // namespace orthant
