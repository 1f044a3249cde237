// Tokenizer: text to token ids and back. One file a kind (char_tokenizer.h, byte_tokenizer.h); what a folder
// of prepared tokens was made with is stored in its data.json and read back by TokenizerFromJson.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "nlohmann/json_fwd.hpp"

namespace orthant {

// Immutable once made: any number of threads may use one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string kind() const = 0;         // "char", "byte"
  virtual int64_t vocabulary_size() const = 0;  // ids are 0 .. vocabulary_size() - 1
  // What the text is counted in: "characters", "bytes".
  virtual std::string text_unit() const = 0;

  // ConfigurationError naming the character where the vocabulary lacks one; DataError with the byte offset
  // where the text is not what the tokenizer reads. Every kind so far gives one token per text unit.
  virtual absl::StatusOr<std::vector<int64_t>> Encode(std::string_view text) const = 0;
  // DataError naming the id where it is beyond the vocabulary.
  virtual absl::StatusOr<std::string> Decode(absl::Span<const int64_t> ids) const = 0;

  // {"kind": ..., and what the kind needs}
  virtual nlohmann::json ToJson() const = 0;
};

// The tokenizer that `ToJson` described; DataError saying what is wrong with the description.
absl::StatusOr<std::shared_ptr<const Tokenizer>> TokenizerFromJson(const nlohmann::json& json);

}  // namespace orthant
