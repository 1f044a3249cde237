// JSON in and out of files and strings, with errors as absl::Status.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace orthant {

// `origin` (a path) begins the message of a DataError.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const std::string& origin);
absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path);
// Atomically, two spaces a level, a newline at the end. Doubles round-trip.
absl::Status WriteJsonFile(const std::string& path, const nlohmann::json& value);

}  // namespace orthant
