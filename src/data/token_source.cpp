#include "orthant/data/token_source.h"

#include <algorithm>
#include <array>
#include <span>

namespace orthant {

absl::Status SyntheticTokens::Read(int64_t begin, absl::Span<int64_t> out) const {
  std::array<uint32_t, 256> bits;
  for (size_t done = 0; done < out.size(); done += bits.size()) {
    const size_t count = std::min(bits.size(), out.size() - done);
    FillBits(key_, 0, static_cast<uint64_t>(begin) + done, std::span(bits.data(), count));
    // The upper half of bits * vocabulary: in range, and without a division.
    for (size_t i = 0; i < count; ++i) {
      out[done + i] = static_cast<int64_t>((uint64_t{bits[i]} * static_cast<uint64_t>(vocabulary_)) >> 32);
    }
  }
  return absl::OkStatus();
}

}  // namespace orthant
