#include "orthant/data/token_file.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

static_assert(std::endian::native == std::endian::little,
              "token files are mapped as they are: little-endian");

constexpr char kPrepareAgain[] = "; prepare it again with `orthant data prepare ... --force`";

template <typename T>
const T* TokensAt(const MappedFile& file, int64_t begin) {
  return reinterpret_cast<const T*>(file.bytes().data()) + begin;
}

// Index of the first id >= vocabulary, or -1. The inner loop only keeps a maximum: the compiler makes vectors
// of it.
template <typename T>
int64_t FirstBeyond(const T* ids, int64_t count, int64_t vocabulary) {
  constexpr int64_t kBlock = 4096;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    T highest = 0;
    for (int64_t i = begin; i < end; ++i) highest = std::max(highest, ids[i]);
    if (highest < vocabulary) continue;
    return std::find_if(ids + begin, ids + end, [&](T id) { return id >= vocabulary; }) - ids;
  }
  return -1;
}

// Widens `out.size()` ids and returns the highest.
template <typename T>
int64_t Widen(const T* ids, absl::Span<int64_t> out) {
  T highest = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = ids[i];
    highest = std::max(highest, ids[i]);
  }
  return highest;
}

absl::Status CheckSize(const std::string& path, int64_t bytes, TokenType type, int64_t expected_tokens) {
  const std::string type_name = TokenTypeName(type);
  if (bytes == 0) return DataError(absl::StrCat(path, " is empty", kPrepareAgain));
  if (bytes % TokenBytes(type) != 0) {
    return DataError(absl::StrCat(path, " has ", bytes, " bytes, which is not a whole number of ", type_name,
                                  " tokens: it is damaged or not a token file", kPrepareAgain));
  }
  const int64_t tokens = bytes / TokenBytes(type);
  if (tokens == expected_tokens) return absl::OkStatus();
  return DataError(absl::StrCat(path, " holds ", tokens, " ", type_name,
                                " tokens, but data.json beside it says ", expected_tokens, ": the file is ",
                                tokens < expected_tokens ? "truncated" : "longer than it was written",
                                kPrepareAgain));
}

}  // namespace

std::string TokenTypeName(TokenType type) {
  return type == TokenType::kUint16 ? "uint16" : "uint32";
}

TokenFile::TokenFile(std::string path, MappedFile file, TokenType type, int64_t tokens,
                     int64_t vocabulary_size)
    : path_(std::move(path)),
      file_(std::move(file)),
      type_(type),
      tokens_(tokens),
      vocabulary_(vocabulary_size) {}

absl::StatusOr<TokenFile> TokenFile::Open(const std::string& path, TokenType type, int64_t expected_tokens,
                                          int64_t vocabulary_size, int64_t full_scan_bytes) {
  if (!FileExists(path)) {
    return DataError(absl::StrCat("token file ", path, " is missing", kPrepareAgain));
  }
  absl::StatusOr<MappedFile> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  const auto bytes = static_cast<int64_t>(file->bytes().size());
  if (absl::Status status = CheckSize(path, bytes, type, expected_tokens); !status.ok()) return status;
  TokenFile tokens(path, *std::move(file), type, expected_tokens, vocabulary_size);
  const absl::Status scan = bytes <= full_scan_bytes ? tokens.ScanAll() : tokens.ScanStretches();
  if (!scan.ok()) return scan;
  return tokens;
}

absl::Status TokenFile::Read(int64_t begin, absl::Span<int64_t> out) const {
  const auto count = static_cast<int64_t>(out.size());
  if (begin < 0 || begin + count > tokens_) {
    return absl::InternalError(absl::StrCat("tokens ", begin, " to ", begin + count, " of ", path_,
                                            " asked for, which has ", tokens_));
  }
  const int64_t highest = type_ == TokenType::kUint16 ? Widen(TokensAt<uint16_t>(file_, begin), out)
                                                      : Widen(TokensAt<uint32_t>(file_, begin), out);
  // Checked at every read: it costs nothing here, and the file may be larger than what was scanned.
  if (highest >= vocabulary_) return Scan(begin, count);
  return absl::OkStatus();
}

absl::Status TokenFile::ScanAll() const {
  return Scan(0, tokens_);
}

absl::Status TokenFile::ScanStretches() const {
  constexpr int64_t kStretches = 1024, kStretchTokens = 16384;
  for (int64_t i = 0; i < kStretches; ++i) {
    const int64_t last = std::max<int64_t>(tokens_ - kStretchTokens, 0);
    const int64_t begin = last / (kStretches - 1) * i + last % (kStretches - 1) * i / (kStretches - 1);
    const int64_t count = std::min(kStretchTokens, tokens_ - begin);
    if (absl::Status status = Scan(begin, count); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status TokenFile::Scan(int64_t begin, int64_t count) const {
  const bool narrow = type_ == TokenType::kUint16;
  const int64_t at = narrow ? FirstBeyond(TokensAt<uint16_t>(file_, begin), count, vocabulary_)
                            : FirstBeyond(TokensAt<uint32_t>(file_, begin), count, vocabulary_);
  if (at < 0) return absl::OkStatus();
  const int64_t id = narrow ? int64_t{*TokensAt<uint16_t>(file_, begin + at)}
                            : int64_t{*TokensAt<uint32_t>(file_, begin + at)};
  return BeyondVocabulary(begin + at, id);
}

absl::Status TokenFile::BeyondVocabulary(int64_t position, int64_t id) const {
  return DataError(absl::StrCat(path_, ": token ", position, " is ", id, ", beyond the vocabulary of ",
                                vocabulary_, " (ids 0 to ", vocabulary_ - 1,
                                ") that data.json names: the file is damaged or was "
                                "made with another tokenizer",
                                kPrepareAgain));
}

}  // namespace orthant
