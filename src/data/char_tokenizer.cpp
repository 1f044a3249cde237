#include "orthant/data/char_tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/data/utf8.h"

namespace orthant {
namespace {

constexpr char32_t kCodePoints = 0x110000;

}  // namespace

CharTokenizer::Builder::Builder() : seen_(kCodePoints, false) {}

absl::Status CharTokenizer::Builder::Add(std::string_view text, const std::string& name, int64_t origin,
                                         int64_t* characters) {
  size_t offset = 0;
  while (offset < text.size()) {
    const std::optional<char32_t> code_point = DecodeUtf8(text, &offset);
    if (!code_point) {
      return DataError(absl::StrCat(name, ": not UTF-8 at byte ", origin + static_cast<int64_t>(offset),
                                    "; convert the file, or prepare it with --tokenizer byte"));
    }
    seen_[*code_point] = true;
    ++*characters;
  }
  return absl::OkStatus();
}

CharTokenizer CharTokenizer::Builder::Build() const {
  std::vector<char32_t> vocabulary;
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (seen_[c]) vocabulary.push_back(c);
  }
  return CharTokenizer(std::move(vocabulary));
}

CharTokenizer::CharTokenizer(std::vector<char32_t> vocabulary) : vocabulary_(std::move(vocabulary)) {
  ascii_.fill(-1);
  for (size_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_[id] < ascii_.size()) {
      ascii_[vocabulary_[id]] = static_cast<int32_t>(id);
    } else {
      others_.emplace(vocabulary_[id], static_cast<int64_t>(id));
    }
  }
}

absl::StatusOr<CharTokenizer> CharTokenizer::Create(std::vector<char32_t> vocabulary) {
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    if (vocabulary[i] >= kCodePoints || (i > 0 && vocabulary[i] <= vocabulary[i - 1])) {
      return DataError(absl::StrCat("the character vocabulary is not ascending at entry ", i));
    }
  }
  return CharTokenizer(std::move(vocabulary));
}

int64_t CharTokenizer::IdOf(char32_t code_point) const {
  if (code_point < ascii_.size()) return ascii_[code_point];
  const auto found = others_.find(code_point);
  return found == others_.end() ? -1 : found->second;
}

std::string CharTokenizer::Sample() const {
  constexpr size_t kShown = 100;
  std::string sample;
  for (size_t i = 0; i < std::min(kShown, vocabulary_.size()); ++i) {
    if (vocabulary_[i] >= 0x20 && vocabulary_[i] != 0x7F) AppendUtf8(vocabulary_[i], &sample);
  }
  if (vocabulary_.size() > kShown) absl::StrAppend(&sample, "...");
  return sample;
}

absl::StatusOr<std::vector<int64_t>> CharTokenizer::Encode(std::string_view text) const {
  std::vector<int64_t> ids;
  ids.reserve(text.size());
  size_t offset = 0;
  while (offset < text.size()) {
    const std::optional<char32_t> code_point = DecodeUtf8(text, &offset);
    if (!code_point) return DataError(absl::StrCat("the text is not UTF-8 at byte ", offset));
    const int64_t id = IdOf(*code_point);
    if (id < 0) {
      return ConfigurationError(absl::StrCat("character ", NameCodePoint(*code_point), " at position ",
                                             ids.size(), " is not among the ", vocabulary_.size(),
                                             " characters of the data: ", Sample()));
    }
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<std::string> CharTokenizer::Decode(absl::Span<const int64_t> ids) const {
  std::string text;
  text.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocabulary_size()) {
      return DataError(absl::StrCat("token id ", ids[i], " at position ", i, " is beyond the vocabulary of ",
                                    vocabulary_.size(), " characters"));
    }
    AppendUtf8(vocabulary_[ids[i]], &text);
  }
  return text;
}

nlohmann::json CharTokenizer::ToJson() const {
  std::string characters;
  for (char32_t c : vocabulary_) AppendUtf8(c, &characters);
  return {{"kind", "char"}, {"characters", characters}};
}

}  // namespace orthant
