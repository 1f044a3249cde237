// TokenSource: a stretch of token ids, wherever they come from; and the synthetic one, which needs no files.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "orthant/core/philox.h"

namespace orthant {

// Immutable: any number of threads may read.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual const std::string& name() const = 0;  // as messages call it: a path, "synthetic train"
  virtual int64_t tokens() const = 0;
  virtual int64_t vocabulary_size() const = 0;
  // Tokens begin .. begin + out.size() - 1, which must lie inside. DataError where the data turns out
  // damaged.
  virtual absl::Status Read(int64_t begin, absl::Span<int64_t> out) const = 0;
};

// Token i is uniform on the vocabulary and a pure function of (name, i): there is nothing to learn, but the
// work and the traffic are those of real text.
class SyntheticTokens final : public TokenSource {
 public:
  SyntheticTokens(std::string name, int64_t tokens, int64_t vocabulary_size)
      : name_(std::move(name)), tokens_(tokens), vocabulary_(vocabulary_size), key_(DeriveKey(0, name_)) {}

  const std::string& name() const override { return name_; }
  int64_t tokens() const override { return tokens_; }
  int64_t vocabulary_size() const override { return vocabulary_; }
  absl::Status Read(int64_t begin, absl::Span<int64_t> out) const override;

 private:
  std::string name_;
  int64_t tokens_, vocabulary_;
  PhiloxKey key_;
};

}  // namespace orthant
