// Who works in a folder: a sweep's own lock, and that of a run, which another process may still hold.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "orthant/sweep/case_process.h"

namespace orthant {

// Held by one sweep of a folder at a time; freed at the end of the scope, and of the process.
class SweepLock {
 public:
  // ConfigurationError when another process holds it, EnvironmentError when it cannot be made. A file system
  // without locks is warned of on stderr: there two sweeps at once are the user's to avoid.
  static absl::StatusOr<SweepLock> Take(const std::string& dir);
  SweepLock(SweepLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  SweepLock& operator=(SweepLock&&) = delete;
  ~SweepLock();

 private:
  explicit SweepLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

struct FolderWait {
  std::string holder;  // "process 12 on node1, ..."; "": the folder is free
  int signal = 0;      // that came meanwhile and ended the wait; 0: none
};

// Waits until no process holds the run's folder (FOLDER/lock), at most so long: a run that was told to stop
// holds it while it saves.
FolderWait WaitForFolder(const std::string& folder, double seconds, const SweepSignals& signals);

}  // namespace orthant
