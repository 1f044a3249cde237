// CRC-32C against published values.
#include "orthant/core/crc32c.h"

#include <string>

#include "gtest/gtest.h"

namespace orthant {
namespace {

TEST(Crc32c, ValuesOfRfc3720) {  // appendix B.4
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending += static_cast<char>(i);
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32c, TheMaskCanBeTakenOff) {
  const uint32_t masked = MaskedCrc32c("123456789"), rotated = masked - 0xa282ead8u;
  EXPECT_EQ((rotated >> 17) | (rotated << 15), 0xe3069283u);
}

}  // namespace
}  // namespace orthant
