// Whether another process holds a file's lock (flock).
#pragma once

#include <string>

namespace orthant {

enum class FileLock {
  kUnknown,  // there is no such file, or its file system has no locks
  kFree,
  kHeld,
};

// Looks by a shared lock, held for that moment: who takes the lock meanwhile tries more than once, and others
// who look do not see each other.
FileLock LockOn(const std::string& path);

}  // namespace orthant
