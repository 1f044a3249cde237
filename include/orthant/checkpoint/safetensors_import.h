// `orthant checkpoint import`: safetensors files, of Hugging Face's GPT-2 or of `export`, as a checkpoint of
// parameters alone (step 0), which `init.from` starts a run with. Streams: memory does not grow with the
// model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace orthant {

struct ImportOptions {
  std::string input;          // a folder: config.json, model.safetensors or its shards with their index
  std::string format = "hf";  // hf | safetensors
  std::string output;         // a folder that is not there, or is empty
  int64_t window_bytes = int64_t{16} << 20;                   // of a tensor held at once, twice
  std::function<void(int64_t done, int64_t total)> progress;  // bytes; may be null
};

struct ImportReport {
  std::string source, output, format, dtype;
  int64_t tensors = 0, elements = 0, bytes = 0;  // logical parameters; bytes with their masters
  std::vector<std::string> notes;                // whole sentences

  std::string ToText() const;
  nlohmann::ordered_json ToJson() const;
};

// DataError naming the file: missing, damaged, of another family, tensors missing or of another shape or
// type. ConfigurationError: an output that holds something. EnvironmentError: cannot write. The output is
// there whole or not at all.
// Where config.json says that 16-bit values with fp32 masters were exported, both come back.
absl::StatusOr<ImportReport> ImportCheckpoint(const ImportOptions& options);

}  // namespace orthant
