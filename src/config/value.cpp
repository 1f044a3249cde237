#include "config/value.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "config/number.h"
#include "orthant/config/byte_size.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

using Result = std::variant<FieldValue, std::string>;

std::string Quoted(const Scalar& scalar) {
  return scalar.quoted ? absl::StrCat("'\"", scalar.text, "\"' (text, between quotes)")
                       : absl::StrCat("'", scalar.text, "'");
}

std::string WriteReal(double value) {
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  std::string text = FormatShortest(value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

bool IsInteger(const Field& field) {
  return field.kind() == FieldKind::kInteger || field.kind() == FieldKind::kIntegers ||
         field.kind() == FieldKind::kBytes;
}

std::string WriteBound(const Field& field, double value) {
  if (field.kind() == FieldKind::kBytes && std::abs(value) < 0x1p63)
    return WriteByteSize(static_cast<int64_t>(value));
  return IsInteger(field) ? absl::StrFormat("%.0f", value) : FormatShortest(value);
}

// The bound that `value` breaks, as a message; nothing when it is inside.
std::optional<std::string> OutOfRange(const Field& field, double value, const std::string& shown) {
  const Bounds& bounds = field.bounds();
  const bool integer = IsInteger(field);
  const auto complain = [&](const char* rule, double bound, bool exclusive, double step) {
    std::string text =
        absl::StrCat("'", shown, "' is out of range: must be ", rule, " ", WriteBound(field, bound));
    // A real bound that is itself excluded has no nearest legal neighbour worth naming.
    if (!exclusive) absl::StrAppend(&text, "; the nearest legal value is ", WriteBound(field, bound));
    if (exclusive && integer)
      absl::StrAppend(&text, "; the nearest legal value is ", WriteBound(field, bound + step));
    return text;
  };
  if (bounds.low && (bounds.low_exclusive ? !(value > *bounds.low) : !(value >= *bounds.low))) {
    return complain(bounds.low_exclusive ? "above" : "at least", *bounds.low, bounds.low_exclusive, 1);
  }
  if (bounds.high && (bounds.high_exclusive ? !(value < *bounds.high) : !(value <= *bounds.high))) {
    return complain(bounds.high_exclusive ? "below" : "at most", *bounds.high, bounds.high_exclusive, -1);
  }
  return std::nullopt;
}

Result ReadInteger(const Field& field, const Scalar& scalar) {
  const std::string not_integer = Quoted(scalar) + " is not an integer";
  const std::optional<std::string> plain = WithoutUnderscores(scalar.text);
  if (scalar.quoted || !plain) return not_integer;
  std::errc error{};
  std::optional<int64_t> value = ParseNumber<int64_t>(*plain, &error);
  if (!value) {
    const bool too_long = error == std::errc::result_out_of_range;
    const std::optional<double> real = ParseNumber<double>(*plain, &error);  // 1e6
    if (!too_long && (!real || !std::isfinite(*real))) return not_integer;
    if (too_long || std::abs(*real) >= 0x1p63) {
      return absl::StrCat("'", scalar.text, "' does not fit 64 bits; the nearest legal value is ",
                          (*plain)[0] == '-' ? INT64_MIN : INT64_MAX);
    }
    if (*real != std::floor(*real)) {
      return absl::StrFormat("%s; the nearest are %.0f and %.0f", not_integer, std::floor(*real),
                             std::ceil(*real));
    }
    value = static_cast<int64_t>(*real);
  }
  if (const auto wrong = OutOfRange(field, static_cast<double>(*value), scalar.text)) return *wrong;
  return FieldValue(*value);
}

Result ReadReal(const Field& field, const Scalar& scalar) {
  const std::string not_number = Quoted(scalar) + " is not a number";
  const std::optional<std::string> plain = WithoutUnderscores(scalar.text);
  if (scalar.quoted || !plain) return not_number;
  std::errc error{};
  std::optional<double> value;
  if (*plain == ".inf") value = std::numeric_limits<double>::infinity();
  if (*plain == "-.inf") value = -std::numeric_limits<double>::infinity();
  if (!value) {
    value = ParseNumber<double>(*plain, &error);
    if (error == std::errc::result_out_of_range)
      return absl::StrCat("'", scalar.text, "' does not fit a double");
    if (!value || !std::isfinite(*value)) return not_number;
  }
  if (const auto wrong = OutOfRange(field, *value, scalar.text)) return *wrong;
  return FieldValue(*value);
}

// Between quotes too: a size with a unit is text to YAML anyway.
Result ReadBytes(const Field& field, const Scalar& scalar) {
  const std::variant<int64_t, std::string> size = ReadByteSize(scalar.text);
  if (const std::string* wrong = std::get_if<std::string>(&size)) return *wrong;
  const int64_t value = std::get<int64_t>(size);
  if (const auto wrong = OutOfRange(field, static_cast<double>(value), scalar.text)) return *wrong;
  return FieldValue(value);
}

Result ReadBool(const Scalar& scalar) {
  const std::string lower = absl::AsciiStrToLower(scalar.text);
  if (!scalar.quoted && (lower == "true" || lower == "yes" || lower == "on")) return FieldValue(true);
  if (!scalar.quoted && (lower == "false" || lower == "no" || lower == "off")) return FieldValue(false);
  return Quoted(scalar) + " is neither true nor false (yes, no, on and off serve too)";
}

Result ReadChoice(const Field& field, const Scalar& scalar) {
  const auto& allowed = field.allowed();
  if (std::find(allowed.begin(), allowed.end(), scalar.text) != allowed.end()) return FieldValue(scalar.text);
  std::string text = absl::StrCat("'", scalar.text, "' is not one of ", JoinWords(allowed));
  const auto meant = ClosestMatch(scalar.text, allowed);
  if (meant) absl::StrAppend(&text, "; did you mean ", *meant, "?");
  return text;
}

std::string WriteText(const std::string& text) {
  const auto plain_char = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '/' || c == '.' || c == '-';
  };
  const std::string lower = absl::AsciiStrToLower(text);
  const bool word = lower == "null" || lower == "true" || lower == "false" || lower == "yes" ||
                    lower == "no" || lower == "on" || lower == "off";
  if (!text.empty() && !word &&
      (absl::ascii_isalpha(static_cast<unsigned char>(text[0])) || text[0] == '/') &&
      std::all_of(text.begin(), text.end(), plain_char)) {
    return text;
  }
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += absl::StrFormat("\\x%02x", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

struct YamlWriter {
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return WriteReal(value); }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(const std::string& value) const { return WriteText(value); }
  template <class T>
  std::string operator()(const std::vector<T>& values) const {
    const auto write = [this](std::string* out, const T& value) { out->append((*this)(value)); };
    return absl::StrCat("[", absl::StrJoin(values, ", ", write), "]");
  }
};

}  // namespace

std::optional<std::string> WithoutUnderscores(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      plain += text[i];
    } else if (i == 0 || i + 1 == text.size() ||
               !absl::ascii_isdigit(static_cast<unsigned char>(text[i - 1])) ||
               !absl::ascii_isdigit(static_cast<unsigned char>(text[i + 1]))) {
      return std::nullopt;
    }
  }
  if (plain.size() > 1 && plain[0] == '+' && plain[1] != '-') plain.erase(0, 1);
  return plain;
}

std::variant<FieldValue, std::string> ReadScalar(const Field& field, const Scalar& scalar) {
  switch (field.kind()) {
    case FieldKind::kInteger:
    case FieldKind::kIntegers:
      return ReadInteger(field, scalar);
    case FieldKind::kReal:
    case FieldKind::kReals:
      return ReadReal(field, scalar);
    case FieldKind::kBytes:
      return ReadBytes(field, scalar);
    case FieldKind::kBool:
      return ReadBool(scalar);
    case FieldKind::kChoice:
      return ReadChoice(field, scalar);
    case FieldKind::kText:
    case FieldKind::kTexts:
      break;
  }
  return FieldValue(scalar.text);
}

std::string ValueToYaml(FieldKind kind, const FieldValue& value) {
  if (kind == FieldKind::kBytes) return WriteByteSize(std::get<int64_t>(value));
  return std::visit(YamlWriter{}, value);
}

std::string DescribeBounds(const Field& field) {
  const Bounds& bounds = field.bounds();
  std::vector<std::string> parts;
  if (bounds.low && *bounds.low != INT32_MIN) {
    parts.push_back(
        absl::StrCat(bounds.low_exclusive ? "above " : "at least ", WriteBound(field, *bounds.low)));
  }
  if (bounds.high && *bounds.high != INT32_MAX) {
    parts.push_back(
        absl::StrCat(bounds.high_exclusive ? "below " : "at most ", WriteBound(field, *bounds.high)));
  }
  if (field.count()) parts.push_back(absl::StrCat("exactly ", *field.count(), " elements"));
  return absl::StrJoin(parts, ", ");
}

}  // namespace orthant
