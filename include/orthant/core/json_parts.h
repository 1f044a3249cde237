// Members of JSON objects that anyone may have written: one that is missing or of another type is as none.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "nlohmann/json.hpp"

namespace orthant {

template <typename Json>
std::string TextIn(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->template get<std::string>() : "";
}

template <typename Json>
double NumberIn(const Json& object, const char* key, double otherwise = 0) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->template get<double>() : otherwise;
}

template <typename Json>
int64_t IntegerIn(const Json& object, const char* key, int64_t otherwise = 0) {
  const double value = NumberIn(object, key, static_cast<double>(otherwise));
  return std::fabs(value) < 9e18 ? static_cast<int64_t>(value) : otherwise;
}

template <typename Json>
bool TruthIn(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->template get<bool>();
}

}  // namespace orthant
