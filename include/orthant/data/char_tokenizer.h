// Unicode code points as tokens: the vocabulary is the set of characters seen, sorted by code point.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "orthant/data/tokenizer.h"

namespace orthant {

class CharTokenizer final : public Tokenizer {
 public:
  // Gathers the characters of any number of texts. Not thread-safe.
  class Builder {
   public:
    Builder();
    // `name` and `origin` (bytes of that file before `text`) go into the DataError for bytes that are not
    // UTF-8. Adds the number of characters to *characters.
    absl::Status Add(std::string_view text, const std::string& name, int64_t origin, int64_t* characters);
    CharTokenizer Build() const;

   private:
    std::vector<bool> seen_;  // by code point
  };

  // `vocabulary`: distinct, ascending. DataError otherwise.
  static absl::StatusOr<CharTokenizer> Create(std::vector<char32_t> vocabulary);

  std::string kind() const override { return "char"; }
  int64_t vocabulary_size() const override { return static_cast<int64_t>(vocabulary_.size()); }
  std::string text_unit() const override { return "characters"; }
  absl::StatusOr<std::vector<int64_t>> Encode(std::string_view text) const override;
  absl::StatusOr<std::string> Decode(absl::Span<const int64_t> ids) const override;
  nlohmann::json ToJson() const override;

 private:
  explicit CharTokenizer(std::vector<char32_t> vocabulary);
  int64_t IdOf(char32_t code_point) const;  // -1: not in the vocabulary
  std::string Sample() const;               // the vocabulary, as a message can show it

  std::vector<char32_t> vocabulary_;  // id -> code point
  std::array<int32_t, 128> ascii_;    // the quick way for most text; -1: absent
  absl::flat_hash_map<char32_t, int64_t> others_;
};

}  // namespace orthant
