// CRC-32C (Castagnoli; RFC 3720, appendix B.4) and its masked form, as TFRecord files hold it.
#pragma once

#include <cstdint>
#include <string_view>

namespace orthant {

uint32_t Crc32c(std::string_view bytes);
// Rotated right by 15 bits, plus a constant, so that the sum of bytes that hold sums is of use (TensorFlow,
// tsl/lib/hash/crc32c.h).
uint32_t MaskedCrc32c(std::string_view bytes);

}  // namespace orthant
