// TokenWriter: a token file written aside, in pieces, and put in its place at the end. Private to the room.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "orthant/data/token_file.h"

namespace orthant {

// Writes PATH.partial; destroyed before Publish, it removes it. One owner thread.
class TokenWriter {
 public:
  TokenWriter(std::string path, TokenType type);
  ~TokenWriter();
  TokenWriter(const TokenWriter&) = delete;
  TokenWriter& operator=(const TokenWriter&) = delete;

  // EnvironmentError where the file cannot be written (the folder, the disk).
  absl::Status Open();
  absl::Status Append(absl::Span<const int64_t> ids);  // ids fit the type
  // On disk, still under the name aside; *checksum is of its bytes, as data.json writes it.
  absl::Status Finish(std::string* checksum);
  // Renamed to its place. The folder is not synced yet.
  absl::Status Publish();

  int64_t tokens() const { return tokens_; }

 private:
  absl::Status Flush();
  absl::Status Fail(const char* doing, int error);

  std::string path_, partial_;
  TokenType type_;
  int descriptor_ = -1;
  bool exists_ = false;
  int64_t tokens_ = 0;
  std::vector<char> buffer_;
};

}  // namespace orthant
