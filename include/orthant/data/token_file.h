// TokenFile: raw little-endian token ids (uint16, or uint32 for vocabularies beyond 65,536), memory-mapped.
// What is wrong with a file is found when it is opened, not in the middle of a run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "orthant/core/file.h"
#include "orthant/data/token_source.h"

namespace orthant {

enum class TokenType { kUint16, kUint32 };

// Bytes a token.
inline int64_t TokenBytes(TokenType type) {
  return type == TokenType::kUint16 ? 2 : 4;
}
// "uint16", "uint32"
std::string TokenTypeName(TokenType type);
// The narrowest type that holds every id of the vocabulary.
inline TokenType TokenTypeFor(int64_t vocabulary_size) {
  return vocabulary_size <= 65536 ? TokenType::kUint16 : TokenType::kUint32;
}

class TokenFile final : public TokenSource {
 public:
  // Files up to this many bytes are scanned whole for ids beyond the vocabulary when opened (tens of
  // milliseconds); of larger ones 1,024 stretches are, and the rest is checked as it is read.
  static constexpr int64_t kFullScanBytes = int64_t{256} << 20;

  // DataError naming file, rule and remedy when the file is missing, empty, not whole tokens, not of
  // `expected_tokens`, or holds an id beyond the vocabulary.
  static absl::StatusOr<TokenFile> Open(const std::string& path, TokenType type, int64_t expected_tokens,
                                        int64_t vocabulary_size, int64_t full_scan_bytes = kFullScanBytes);

  const std::string& name() const override { return path_; }
  int64_t tokens() const override { return tokens_; }
  int64_t vocabulary_size() const override { return vocabulary_; }
  absl::Status Read(int64_t begin, absl::Span<int64_t> out) const override;

  // Looks at every token, whatever the size.
  absl::Status ScanAll() const;
  std::span<const std::byte> bytes() const { return file_.bytes(); }

 private:
  TokenFile(std::string path, MappedFile file, TokenType type, int64_t tokens, int64_t vocabulary_size);
  absl::Status Scan(int64_t begin, int64_t count) const;
  absl::Status ScanStretches() const;
  absl::Status BeyondVocabulary(int64_t position, int64_t id) const;

  std::string path_;
  MappedFile file_;
  TokenType type_;
  int64_t tokens_, vocabulary_;
};

}  // namespace orthant
