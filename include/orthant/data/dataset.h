// Dataset: the training and validation tokens of a run and the tokenizer they were made with, opened and
// checked from the `data` section alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "orthant/data/data_config.h"
#include "orthant/data/token_source.h"
#include "orthant/data/tokenizer.h"

namespace orthant {

struct Dataset {
  std::shared_ptr<const TokenSource> train, validation;
  // Null where the tokens are no text (synthetic, or token files made elsewhere): nothing can be sampled
  // then.
  std::shared_ptr<const Tokenizer> tokenizer;
  int64_t vocabulary_size = 0;

  // "data/shakespeare: 1,003,854 training and 111,540 validation tokens, char vocabulary of 65"
  std::string Describe() const;
};

// ConfigurationError when data.path is not set or data.tokenizer is not the prepared one; DataError when the
// folder or a file in it is missing, foreign or damaged. Reads both files once (TokenFile::kFullScanBytes).
absl::StatusOr<Dataset> OpenDataset(const DataConfig& config);

}  // namespace orthant
