// Hashes: FNV-1a for short strings and compile-time names, XXH64 for bytes in bulk, SHA-256 for downloads.
// All are fixed for ever: their values are stored in files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace orthant {

// FNV-1a, 64 bits. One byte at a time: for names, not for bulk.
constexpr uint64_t Fnv1a64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// XXH64 (xxHash specification 0.1.1): several GB/s. Detects damage, not malice.
uint64_t Xxh64(std::span<const std::byte> bytes, uint64_t seed = 0);
uint64_t Xxh64(std::string_view text, uint64_t seed = 0);

// SHA-256 (FIPS 180-4), fed in pieces.
class Sha256 {
 public:
  Sha256();
  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);
  // The digest as 64 lower-case hexadecimal digits. Ends the object's use.
  std::string HexDigest();

 private:
  void Block(const std::byte* block);

  std::array<uint32_t, 8> state_;
  std::array<std::byte, 64> pending_;
  uint64_t length_ = 0;  // bytes so far
};

std::string Sha256Hex(std::string_view text);
// Of a file's bytes, read in pieces. DataError when it cannot be read.
absl::StatusOr<std::string> Sha256OfFile(const std::string& path);

}  // namespace orthant
