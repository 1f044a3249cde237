// Between text and values: reads a scalar as a field's kind, checks its range, writes values as YAML.
#pragma once

#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "orthant/config/fields.h"

namespace orthant {

// A scalar as it stood in the file. `quoted`: between quotes, hence text.
struct Scalar {
  std::string text;
  bool quoted = false;
};

// The value of one scalar for `field` (of one element, for a list: the result is then the element's type), or
// what is wrong with it, as "'four' is not an integer": fit to follow "FILE:LINE: KEY: ".
std::variant<FieldValue, std::string> ReadScalar(const Field& field, const Scalar& scalar);

// As YAML: quoted where needed, doubles in the shortest form that reads back as the same, sizes with their
// unit.
std::string ValueToYaml(FieldKind kind, const FieldValue& value);

// "at least 1 and below 2"; "" without bounds (an int's own limits do not count).
std::string DescribeBounds(const Field& field);

}  // namespace orthant
