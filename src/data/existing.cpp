#include "data/existing.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

absl::Status VerifyPart(const std::string& folder, const char* file, const Manifest& manifest,
                        const Manifest::Tokens& expected) {
  absl::StatusOr<TokenFile> tokens =
      TokenFile::Open(PathIn(folder, file), manifest.type, expected.tokens, manifest.vocabulary_size, 0);
  if (!tokens.ok()) return tokens.status();
  if (absl::Status status = tokens->ScanAll(); !status.ok()) return status;
  if (expected.xxh64.empty()) return absl::OkStatus();
  const std::string found = ChecksumText(tokens->bytes());
  if (found == expected.xxh64) return absl::OkStatus();
  return DataError(absl::StrCat(PathIn(folder, file), " is damaged: its checksum (XXH64) is ", found,
                                ", and data.json says ", expected.xxh64,
                                "; prepare it again with `orthant data prepare ... --force`"));
}

bool SameWork(const Manifest& found, const Manifest& wanted, const std::string& tokenizer) {
  if (found.tokenizer == nullptr || found.tokenizer->kind() != tokenizer || found.corpus != wanted.corpus) {
    return false;
  }
  return !wanted.corpus.empty() || found.sources == wanted.sources;
}

std::string DescribeWork(const Manifest& manifest) {
  const std::string tokenizer = manifest.tokenizer == nullptr ? "none" : manifest.tokenizer->kind();
  std::string from = manifest.corpus;
  if (from.empty() && manifest.sources.size() == 1) from = manifest.sources.front().name;
  if (from.empty()) from = absl::StrCat(manifest.sources.size(), " texts");
  return absl::StrCat(from, " (tokenizer ", tokenizer, ")");
}

}  // namespace

absl::Status VerifyTokens(const std::string& folder, const Manifest& manifest) {
  if (absl::Status status = VerifyPart(folder, kTrainFile, manifest, manifest.train); !status.ok())
    return status;
  return VerifyPart(folder, kValidationFile, manifest, manifest.validation);
}

absl::StatusOr<Existing> LookAtOutput(const std::string& output, const Manifest& wanted,
                                      const std::string& tokenizer, bool force) {
  Existing existing;
  if (FileExists(output) && !IsFolder(output)) {
    return ConfigurationError(absl::StrCat("--output ", output, " is a file; name a folder"));
  }
  if (force) return existing;
  constexpr char kForce[] = "; --force replaces it, or name another folder with --output";
  if (!FileExists(PathIn(output, kManifestFile))) {
    for (const char* file : {kTrainFile, kValidationFile}) {
      if (FileExists(PathIn(output, file))) {
        return ConfigurationError(
            absl::StrCat(PathIn(output, file), " was not written by `data prepare`", kForce));
      }
    }
    return existing;
  }
  absl::StatusOr<Manifest> found = ReadManifest(output);
  if (!found.ok()) {
    return ConfigurationError(
        absl::StrCat(output, " holds data that cannot be read: ", found.status().message(), kForce));
  }
  if (found->preparing) {
    existing.note = "an interrupted `data prepare` was found there and done again";
    return existing;
  }
  if (!SameWork(*found, wanted, tokenizer)) {
    return ConfigurationError(absl::StrCat(output, " holds ", DescribeWork(*found),
                                           ", prepared from other input or with "
                                           "another tokenizer",
                                           kForce));
  }
  if (absl::Status status = VerifyTokens(output, *found); !status.ok()) {
    existing.note = absl::StrCat("replaced what was damaged there: ", status.message());
    return existing;
  }
  existing.whole = true;
  existing.manifest = *std::move(found);
  return existing;
}

}  // namespace orthant
