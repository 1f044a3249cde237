// Transposition of a block of rows by small tiles, whatever the elements are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace orthant {

// from: [rows, columns] -> to: [columns, rows].
template <typename Word>
void TransposeWords(const Word* from, Word* to, int64_t rows, int64_t columns) {
  constexpr int64_t kTile = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
    for (int64_t c0 = 0; c0 < columns; c0 += kTile) {
      const int64_t r1 = std::min(rows, r0 + kTile), c1 = std::min(columns, c0 + kTile);
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t r = r0; r < r1; ++r) to[c * rows + r] = from[r * columns + c];
      }
    }
  }
}

// Elements of 2, 4 or 8 bytes; both memories are aligned to them.
inline void Transpose(std::span<const std::byte> from, std::span<std::byte> to, int64_t rows, int64_t columns,
                      int64_t element_bytes) {
  if (element_bytes == 2) {
    TransposeWords(reinterpret_cast<const uint16_t*>(from.data()), reinterpret_cast<uint16_t*>(to.data()),
                   rows, columns);
  } else if (element_bytes == 4) {
    TransposeWords(reinterpret_cast<const uint32_t*>(from.data()), reinterpret_cast<uint32_t*>(to.data()),
                   rows, columns);
  } else {
    TransposeWords(reinterpret_cast<const uint64_t*>(from.data()), reinterpret_cast<uint64_t*>(to.data()),
                   rows, columns);
  }
}

}  // namespace orthant
