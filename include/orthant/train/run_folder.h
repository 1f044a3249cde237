// The run's folder: what may be in it when a run starts, and the configuration stored there.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "orthant/config/config.h"

namespace orthant {

// Makes `folder` ready for this run: creates it, stores config.yaml. A folder that holds the same run (only
// `parallel`, `zero`, `memory`, `comm`, `log`, `verify`, run.dir and train.threads_per_rank may differ) is
// used again, its metrics.jsonl and samples.txt kept as *.old; `*restarted` then tells so.
// ConfigurationError, listing the keys that differ, when it holds another run, and when it holds files that
// no run wrote or cannot be written.
absl::Status PrepareRunFolder(const std::string& folder, const LoadedConfig& config, bool* restarted);

}  // namespace orthant
