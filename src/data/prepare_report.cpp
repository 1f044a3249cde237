#include <string>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/text.h"
#include "orthant/data/prepare.h"

namespace orthant {
namespace {

int64_t SourceBytes(const Manifest& manifest) {
  int64_t bytes = 0;
  for (const Manifest::Source& source : manifest.sources) bytes += source.bytes;
  return bytes;
}

}  // namespace

std::string PrepareReport::ToText() const {
  const size_t count = manifest.sources.size();
  std::string text =
      absl::StrCat(output, ": ", already_prepared ? "already prepared, left as it is" : "prepared", " from ",
                   FormatCount(static_cast<int64_t>(count)), count == 1 ? " text" : " texts", " (",
                   FormatBytes(static_cast<double>(SourceBytes(manifest))), ")\n");
  absl::StrAppend(&text, "  ", FormatCount(manifest.text_units), " ", manifest.tokenizer->text_unit(),
                  ", vocabulary ", FormatCount(manifest.vocabulary_size), " (tokenizer ",
                  manifest.tokenizer->kind(), ", ", TokenTypeName(manifest.type), ")\n");
  absl::StrAppend(&text, "  ", FormatCount(manifest.train.tokens), " train and ",
                  FormatCount(manifest.validation.tokens), " validation tokens (the last tenth of ",
                  count == 1 ? "the" : "every", " text)\n");
  if (!note.empty()) absl::StrAppend(&text, "  ", note, "\n");
  if (already_prepared) absl::StrAppend(&text, "  --force prepares it again\n");
  return text;
}

nlohmann::json PrepareReport::ToJson() const {
  nlohmann::json json = {{"output", output},
                         {"already_prepared", already_prepared},
                         {"tokenizer", manifest.tokenizer->kind()},
                         {"text_units", manifest.text_units},
                         {manifest.tokenizer->text_unit(), manifest.text_units},
                         {"vocabulary_size", manifest.vocabulary_size},
                         {"train_tokens", manifest.train.tokens},
                         {"val_tokens", manifest.validation.tokens},
                         {"dtype", TokenTypeName(manifest.type)}};
  if (!note.empty()) json["note"] = note;
  json["sources"] = nlohmann::json::array();
  for (const Manifest::Source& source : manifest.sources) {
    json["sources"].push_back({{"name", source.name}, {"bytes", source.bytes}});
  }
  return json;
}

}  // namespace orthant
