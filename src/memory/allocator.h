// The allocator that charges blocks to accounts.
#pragma once

namespace orthant {

// Puts it in front of the CPU allocator installed before, once in the process. Thread-safe against itself;
// LibTorch's allocations on other threads at that moment take either allocator.
void InstallMemoryAllocator();

}  // namespace orthant
