#include "orthant/data/utf8.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace orthant {
namespace {

bool IsContinuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

}  // namespace

std::optional<char32_t> DecodeUtf8(std::string_view text, size_t* offset) {
  const auto lead = static_cast<unsigned char>(text[*offset]);
  if (lead < 0x80) {
    ++*offset;
    return lead;
  }
  int length = 0;
  char32_t value = 0, lowest = 0;
  if ((lead & 0xE0) == 0xC0) {
    length = 2, value = lead & 0x1F, lowest = 0x80;
  } else if ((lead & 0xF0) == 0xE0) {
    length = 3, value = lead & 0x0F, lowest = 0x800;
  } else if ((lead & 0xF8) == 0xF0) {
    length = 4, value = lead & 0x07, lowest = 0x10000;
  } else {
    return std::nullopt;
  }
  if (*offset + length > text.size()) return std::nullopt;
  for (int i = 1; i < length; ++i) {
    const char byte = text[*offset + i];
    if (!IsContinuation(byte)) return std::nullopt;
    value = (value << 6) | (static_cast<unsigned char>(byte) & 0x3F);
  }
  if (value < lowest || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return std::nullopt;
  *offset += length;
  return value;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

size_t Utf8Boundary(std::string_view text, size_t limit) {
  if (limit >= text.size()) return text.size();
  // A sequence is at most four bytes: a boundary lies within three steps back, else the bytes are not UTF-8.
  for (size_t back = 0; back < 4 && back < limit; ++back) {
    if (!IsContinuation(text[limit - back])) return limit - back;
  }
  return limit;
}

std::string RepairUtf8(std::string_view text) {
  std::string repaired;
  for (size_t offset = 0; offset < text.size();) {
    const std::optional<char32_t> code_point = DecodeUtf8(text, &offset);
    if (!code_point) ++offset;
    AppendUtf8(code_point.value_or(0xFFFD), &repaired);
  }
  return repaired;
}

std::string NameCodePoint(char32_t code_point) {
  const std::string number = absl::StrFormat("U+%04X", static_cast<uint32_t>(code_point));
  const bool control = code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
  if (control) return number;
  std::string shown = "'";
  AppendUtf8(code_point, &shown);
  return absl::StrCat(shown, "' (", number, ")");
}

}  // namespace orthant
