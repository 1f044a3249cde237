// What `data prepare` finds in its output folder, and whether it may write there. Private to the room.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "orthant/data/manifest.h"

namespace orthant {

struct Existing {
  bool whole = false;  // exactly what is wanted, undamaged: leave it
  Manifest manifest;   // when whole
  std::string note;    // what will be replaced, for the report
};

// `wanted`: corpus and sources. ConfigurationError where the folder holds something else and `force` is not
// set.
absl::StatusOr<Existing> LookAtOutput(const std::string& output, const Manifest& wanted,
                                      const std::string& tokenizer, bool force);

// Opens both token files and compares every byte with the checksums of data.json. DataError as
// TokenFile::Open.
absl::Status VerifyTokens(const std::string& folder, const Manifest& manifest);

}  // namespace orthant
