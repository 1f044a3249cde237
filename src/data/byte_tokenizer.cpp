#include "orthant/data/byte_tokenizer.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"

namespace orthant {

absl::StatusOr<std::vector<int64_t>> ByteTokenizer::Encode(std::string_view text) const {
  std::vector<int64_t> ids(text.size());
  for (size_t i = 0; i < text.size(); ++i) ids[i] = static_cast<unsigned char>(text[i]);
  return ids;
}

absl::StatusOr<std::string> ByteTokenizer::Decode(absl::Span<const int64_t> ids) const {
  std::string text(ids.size(), '\0');
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] > 255) {
      return DataError(absl::StrCat("token id ", ids[i], " at position ", i, " is not a byte (0 to 255)"));
    }
    text[i] = static_cast<char>(ids[i]);
  }
  return text;
}

nlohmann::json ByteTokenizer::ToJson() const {
  return {{"kind", "byte"}};
}

}  // namespace orthant
