// Words and numbers for people: did-you-mean, 1,115,394, 2.1 GB, 1.3 s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace orthant {

// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`, no part edited twice
// (the optimal-string-alignment form of Damerau and Levenshtein).
size_t EditDistance(std::string_view a, std::string_view b);

// The candidate nearest to `word` (the first of equals), if it is near enough to be what was meant: at most a
// third of the longer one's letters differ, or it begins with `word` (3 letters or more).
std::optional<std::string> ClosestMatch(std::string_view word, std::span<const std::string> candidates);

// "1,115,394"
std::string FormatCount(int64_t count);
// Powers of 1000: "999 B", "2.1 GB"
std::string FormatBytes(double bytes);
// Powers of 1024, as memory is counted: "1023 B", "496.1 MiB"
std::string FormatBinaryBytes(double bytes);
// "340 us", "1.3 s", "2 min 5 s", "3 h 12 min"
std::string FormatDuration(double seconds);
// The shortest decimal that reads back as the same double: "0.1", "1e-05", "3"
std::string FormatShortest(double value);

// "a, b, c"
std::string JoinWords(std::span<const std::string> words);

}  // namespace orthant
