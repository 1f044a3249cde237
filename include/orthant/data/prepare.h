// `orthant data prepare`: texts in, a folder of token files out (train.bin, val.bin, data.json;
// docs/data.md). The same call again finds its own work and leaves it alone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "orthant/data/manifest.h"

namespace orthant {

struct PrepareOptions {
  std::vector<std::string> inputs;  // text files and folders, or
  std::string corpus;               // "shakespeare"
  std::string archive;              // the corpus's archive, already here; "" downloads it
  std::string tokenizer = "char";   // "char", "byte"
  std::string output;               // "": data/<name of the only input, or of the corpus>
  bool force = false;               // replace what stands in `output`
  bool progress = false;            // a bar on stderr
  std::string orthant_version;      // goes into data.json
};

struct PrepareReport {
  std::string output;
  Manifest manifest;
  bool already_prepared = false;  // nothing was written
  std::string note;               // what was found and replaced, if anything

  std::string ToText() const;  // lines, each with its end
  nlohmann::json ToJson() const;
};

// Every text is split by itself: its first floor(0.9 n) tokens train, the rest validates, so that validation
// has a part of each. The parts are joined in the order of the texts, with nothing between.
// ConfigurationError: no input, unknown tokenizer or corpus, an output that holds something else. DataError:
// inputs missing, not UTF-8 (char), too short to split. EnvironmentError: cannot write or download.
absl::StatusOr<PrepareReport> Prepare(const PrepareOptions& options);

}  // namespace orthant
