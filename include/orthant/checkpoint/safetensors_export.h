// `orthant checkpoint export`: a checkpoint's parameters as safetensors files, for Hugging Face transformers
// or with this program's own names. Streams: memory does not grow with the model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace orthant {

struct ExportOptions {
  std::string format = "hf";     // hf: GPT2LMHeadModel's files | safetensors: logical tensors as they are
  std::string output;            // a folder that is not there, or is empty
  std::string dtype = "stored";  // fp64 | fp32 | bf16 | fp16; stored: as the masters, else the values, are
  int64_t shard_bytes = 5'000'000'000;       // of tensors in one file; a larger tensor has a file of its own
  int64_t window_bytes = int64_t{32} << 20;  // of a tensor held at once, twice
  std::function<void(int64_t done, int64_t total)> progress;  // bytes; may be null
};

struct ExportReport {
  std::string source, output;  // folders
  std::string format, dtype;   // dtype: of the values written; "mixed"
  int64_t step = 0, tensors = 0, elements = 0, bytes = 0;
  std::vector<std::string> files;  // in `output`
  std::vector<std::string> notes;  // whole sentences

  std::string ToText() const;  // lines, each with its end
  nlohmann::ordered_json ToJson() const;
};

// ConfigurationError: an output that holds something, a model that the format has no words for. DataError:
// what CheckpointReader finds. EnvironmentError: cannot write. The output is there whole or not at all.
absl::StatusOr<ExportReport> ExportCheckpoint(const std::string& step_folder, const ExportOptions& options);

}  // namespace orthant
