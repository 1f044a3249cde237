// Settings of the whole process, made once by main before any work.
#pragma once

namespace orthant {

// Freed memory is kept for the next allocation instead of being returned to the system: a training step frees
// and asks for the same activations again and again, and each return costs page faults (5 % of a step where
// measured). Has an effect with glibc only. Not thread-safe.
void KeepFreedMemory();

}  // namespace orthant
