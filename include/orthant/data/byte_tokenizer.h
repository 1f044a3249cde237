// Bytes as tokens: the id is the byte, the vocabulary is 256, any file is legal.
#pragma once

#include "orthant/data/tokenizer.h"

namespace orthant {

class ByteTokenizer final : public Tokenizer {
 public:
  std::string kind() const override { return "byte"; }
  int64_t vocabulary_size() const override { return 256; }
  std::string text_unit() const override { return "bytes"; }
  absl::StatusOr<std::vector<int64_t>> Encode(std::string_view text) const override;
  absl::StatusOr<std::string> Decode(absl::Span<const int64_t> ids) const override;
  nlohmann::json ToJson() const override;
};

}  // namespace orthant
