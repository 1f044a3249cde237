// The beginning of a text, cut between characters.
#pragma once

#include <cstddef>
#include <string>

namespace orthant {

// At most `bytes` of UTF-8, without a part of a character at the end.
inline std::string Beginning(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  size_t end = bytes;
  // Bytes 10xxxxxx go on a character; one has at most three, so what is no UTF-8 loses no more.
  while (end > 0 && bytes - end < 3 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace orthant
