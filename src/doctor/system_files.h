// The kernel's small text files: read whole, or not there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace orthant::doctor {

std::string ReadText(const std::string& path);                // "" when it cannot be read; no line end behind
int64_t ReadNumber(const std::string& path, int64_t other);   // `other` when there is no number
std::vector<std::string> NamesIn(const std::string& folder);  // sorted; none when it is missing
// Of lines as "MemTotal:  24684092 kB": the number behind `key`, times 1024 with kB; -1 when it is missing.
int64_t NumberAfter(const std::string& text, const std::string& key);

}  // namespace orthant::doctor
