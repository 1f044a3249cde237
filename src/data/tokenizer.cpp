#include "orthant/data/tokenizer.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/data/byte_tokenizer.h"
#include "orthant/data/char_tokenizer.h"
#include "orthant/data/utf8.h"

namespace orthant {
namespace {

using TokenizerOr = absl::StatusOr<std::shared_ptr<const Tokenizer>>;

TokenizerOr CharFromJson(const nlohmann::json& json) {
  const auto characters = json.find("characters");
  if (characters == json.end() || !characters->is_string()) {
    return DataError("the char tokenizer has no text \"characters\"");
  }
  const std::string& text = characters->get_ref<const std::string&>();
  std::vector<char32_t> vocabulary;
  size_t offset = 0;
  while (offset < text.size()) {
    const std::optional<char32_t> code_point = DecodeUtf8(text, &offset);
    if (!code_point) return DataError(absl::StrCat("the characters are not UTF-8 at byte ", offset));
    vocabulary.push_back(*code_point);
  }
  absl::StatusOr<CharTokenizer> tokenizer = CharTokenizer::Create(std::move(vocabulary));
  if (!tokenizer.ok()) return tokenizer.status();
  return std::make_shared<const CharTokenizer>(*std::move(tokenizer));
}

}  // namespace

TokenizerOr TokenizerFromJson(const nlohmann::json& json) {
  const auto kind = json.is_object() ? json.find("kind") : json.end();
  if (!json.is_object() || kind == json.end() || !kind->is_string()) {
    return DataError("the tokenizer has no text \"kind\"");
  }
  if (*kind == "byte") return std::make_shared<const ByteTokenizer>();
  if (*kind == "char") return CharFromJson(json);
  return DataError(
      absl::StrCat("tokenizer kind \"", kind->get<std::string>(), "\" is not one of char, byte"));
}

}  // namespace orthant
