// Reports on prepared data: which samples a step reads (`orthant data ledger`), what a folder holds (`orthant
// data inspect`).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "orthant/data/data_config.h"
#include "orthant/data/manifest.h"
#include "orthant/data/sampler.h"

namespace orthant {

struct Ledger {
  int64_t step = 0;
  std::vector<SampleRef> samples;  // the global batch of the step, in order

  std::string ToText() const;
  // {"step": n, "samples": [{"sample": id, "offset": first token in the training file}, ...]}
  nlohmann::json ToJson() const;
};

// What step `step` of a run reads, on any mesh. Steps count from 1, as in metrics.jsonl (0 is the state
// before the first): step s reads entries (s - 1) * global_batch and on of the TrainingSequence. Errors of
// OpenDataset and TrainingSequence::Create; ConfigurationError for a step below 1.
absl::StatusOr<Ledger> ListSamples(const DataConfig& config, int64_t seed, int64_t context,
                                   int64_t global_batch, int64_t step);

struct Inspection {
  std::string folder;
  Manifest manifest;
  std::string opening;  // the first line or so of the training text; "" without a tokenizer

  std::string ToText() const;
  nlohmann::json ToJson() const;
};

// Reads every byte of the folder and compares it with data.json. DataError where anything is missing or
// damaged.
absl::StatusOr<Inspection> InspectFolder(const std::string& folder);

}  // namespace orthant
