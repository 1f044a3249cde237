// Numbers in text, taken whole or not at all.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <system_error>

namespace orthant {

// Without the underscores that stand between two digits ("1_000") and a leading plus; nothing when an
// underscore stands elsewhere.
std::optional<std::string> WithoutUnderscores(const std::string& text);

// All of `text` as a T, or nothing; `error` is then what std::from_chars found.
template <class T>
std::optional<T> ParseNumber(const std::string& text, std::errc* error) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  *error = code;
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace orthant
