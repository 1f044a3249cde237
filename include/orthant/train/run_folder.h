// The run's folder: what may be in it when a run starts, and the configuration stored there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/config/config.h"

namespace orthant {

// A run's folder, in use: no other start may use it. Let go of when this object or the process ends.
class RunFolder {
 public:
  // Makes `folder` ready for this run: creates it, stores config.yaml. A folder that holds the same run (only
  // what MayDiffer() lists may differ) is used again. ConfigurationError, listing the keys that differ, when
  // it holds another run, when it is in use, and when it holds files that no run wrote or cannot be written.
  static absl::StatusOr<RunFolder> Open(const std::string& folder, const LoadedConfig& config);

  RunFolder() = default;
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&& other) noexcept;
  ~RunFolder();

 private:
  absl::Status Lock(const std::string& folder);
  int lock_ = -1;  // descriptor of RUN_DIR/lock
};

// Sections and keys that may change between two starts of one run without changing its curve.
const std::vector<std::string>& MayDiffer();

// metrics.jsonl and samples.txt of an earlier start become *.old.
absl::Status KeepOldFiles(const std::string& folder);

// Leaves the samples of steps up to `step` in samples.txt.
absl::Status CutSamples(const std::string& path, int64_t step);

}  // namespace orthant
