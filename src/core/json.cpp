#include "orthant/core/json.h"

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {

absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const std::string& origin) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    return DataError(absl::StrCat(origin, ": is not valid JSON: ", error.what()));
  }
}

absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  return ParseJson(*text, path);
}

absl::Status WriteJsonFile(const std::string& path, const nlohmann::json& value) {
  try {
    return WriteFileAtomically(path, value.dump(2) + "\n");
  } catch (const nlohmann::json::exception& error) {
    return DataError(absl::StrCat(path, ": cannot be written as JSON: ", error.what()));
  }
}

}  // namespace orthant
