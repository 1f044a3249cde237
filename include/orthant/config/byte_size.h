// Sizes in bytes as people write them: "512 MiB", "1.5 GB", "4096".
#pragma once

#include <cstdint>
#include <string>
#include <variant>

namespace orthant {

// The bytes that `text` means: a number, or a number and a unit (B; KB, MB, GB, TB: powers of 1000; KiB, MiB,
// GiB, TiB: powers of 1024; in any case, with or without a blank before it). Otherwise what is wrong with it,
// fit to follow "FILE:LINE: KEY: ". May be negative.
std::variant<int64_t, std::string> ReadByteSize(const std::string& text);

// In the largest binary unit that is exact: "64 MiB", "1000", "0". Reads back as the same number.
std::string WriteByteSize(int64_t bytes);

}  // namespace orthant
