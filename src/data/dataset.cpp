#include "orthant/data/dataset.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/data/manifest.h"
#include "orthant/data/token_file.h"

namespace orthant {
namespace {

Dataset Synthetic(const DataConfig& config) {
  Dataset dataset;
  dataset.vocabulary_size = config.synthetic_vocab;
  dataset.train =
      std::make_shared<SyntheticTokens>("synthetic train", config.synthetic_tokens, config.synthetic_vocab);
  dataset.validation = std::make_shared<SyntheticTokens>(
      "synthetic val", std::max<int64_t>(config.synthetic_tokens / 9, 2), config.synthetic_vocab);
  return dataset;
}

absl::StatusOr<std::shared_ptr<const TokenSource>> OpenPart(const DataConfig& config,
                                                            const Manifest& manifest, const char* file,
                                                            const Manifest::Tokens& tokens) {
  absl::StatusOr<TokenFile> opened =
      TokenFile::Open(PathIn(config.path, file), manifest.type, tokens.tokens, manifest.vocabulary_size);
  if (!opened.ok()) return opened.status();
  return std::make_shared<const TokenFile>(*std::move(opened));
}

absl::Status CheckTokenizer(const DataConfig& config, const Manifest& manifest) {
  if (config.tokenizer.empty()) return absl::OkStatus();
  const std::string prepared = manifest.tokenizer == nullptr ? "none" : manifest.tokenizer->kind();
  if (config.tokenizer == prepared) return absl::OkStatus();
  return ConfigurationError(absl::StrCat(
      "data.tokenizer=", config.tokenizer, ", but ", config.path, " was prepared with tokenizer ", prepared,
      "; use data.tokenizer=", manifest.tokenizer == nullptr ? "\"\"" : prepared,
      ", or prepare another folder with `orthant data prepare --tokenizer ", config.tokenizer, "`"));
}

}  // namespace

std::string Dataset::Describe() const {
  const std::string kind = tokenizer == nullptr ? "" : absl::StrCat(tokenizer->kind(), " ");
  return absl::StrCat(train->name(), ": ", FormatCount(train->tokens()), " training and ",
                      FormatCount(validation->tokens()), " validation tokens, ", kind, "vocabulary of ",
                      FormatCount(vocabulary_size));
}

absl::StatusOr<Dataset> OpenDataset(const DataConfig& config) {
  if (config.source == "synthetic") return Synthetic(config);
  if (config.path.empty()) {
    return ConfigurationError(
        "data.path is not set; name a folder that `orthant data prepare` wrote, or use "
        "data.source=synthetic");
  }
  absl::StatusOr<Manifest> manifest = ReadManifest(config.path);
  if (!manifest.ok()) return manifest.status();
  if (manifest->preparing) {
    return DataError(
        absl::StrCat(config.path, ": an `orthant data prepare` was interrupted here; run it again"));
  }
  if (absl::Status status = CheckTokenizer(config, *manifest); !status.ok()) return status;
  auto train = OpenPart(config, *manifest, kTrainFile, manifest->train);
  if (!train.ok()) return train.status();
  auto validation = OpenPart(config, *manifest, kValidationFile, manifest->validation);
  if (!validation.ok()) return validation.status();
  return Dataset{*std::move(train), *std::move(validation), manifest->tokenizer, manifest->vocabulary_size};
}

}  // namespace orthant
