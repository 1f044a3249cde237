// Strict UTF-8: decoding with byte offsets, encoding. Overlong forms, surrogates and values above U+10FFFF
// are errors, as RFC 3629 has it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace orthant {

// Reads the code point at text[*offset] and moves *offset past it. Nothing, and *offset untouched, where the
// bytes are not UTF-8. Requires *offset < text.size().
std::optional<char32_t> DecodeUtf8(std::string_view text, size_t* offset);

void AppendUtf8(char32_t code_point, std::string* out);

// Largest prefix length <= limit of `text` that does not cut a sequence in two (a stray tail counts as
// whole).
size_t Utf8Boundary(std::string_view text, size_t limit);

// The text with every byte that is not UTF-8 replaced by U+FFFD: for file names on their way into JSON.
std::string RepairUtf8(std::string_view text);

// How a message names a character: 'a' (U+0061), or U+000A where it does not print.
std::string NameCodePoint(char32_t code_point);

}  // namespace orthant
