// The rules that span sections: everything that can be known to be wrong before the first step, told before
// it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "orthant/train/run_config.h"

namespace orthant {

// Where a key's value came from, as "run.yaml:12" or "command line"; may return "".
using OriginOf = std::function<std::string(const std::string& key)>;

// Checks the configuration against itself: divisibility of heads, context, layers, batch. Every broken rule
// is one line of the ConfigurationError: where, key, value, rule, nearest legal values.
absl::Status ValidateRun(const RunConfig& config, const OriginOf& origin);

// What is not wrong but worth telling: a padded vocabulary, uneven stages, settings without effect.
// `vocab` is the resolved vocabulary.
std::vector<std::string> RunNotes(const RunConfig& config, int64_t vocab);

// model.vocab, or the data's when that is 0. ConfigurationError when the data has ids that the model lacks.
absl::StatusOr<int64_t> ResolveVocabulary(const RunConfig& config, int64_t data_vocab,
                                          const OriginOf& origin);

}  // namespace orthant
