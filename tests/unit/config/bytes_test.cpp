// Sizes in bytes: how they are written, what is refused, and that the dump reads back.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "config_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/config/byte_size.h"
#include "orthant/config/config.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

struct Accepted {
  const char* text;
  int64_t bytes;
};
class ByteForms : public ::testing::TestWithParam<Accepted> {};
TEST_P(ByteForms, AreAccepted) {
  SampleConfig c;
  const auto loaded = LoadText(std::string("train: {buffer: ") + GetParam().text + "}", {}, c);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(c.buffer, GetParam().bytes);
}
INSTANTIATE_TEST_SUITE_P(All, ByteForms,
                         ::testing::Values(Accepted{"4096", 4096}, Accepted{"4_096", 4096},
                                           Accepted{"1e6", 1000000}, Accepted{"4096 B", 4096},
                                           Accepted{"512 MiB", 512LL << 20}, Accepted{"2GiB", 2LL << 30},
                                           Accepted{"1.5 GB", 1500000000}, Accepted{"64 KB", 64000},
                                           Accepted{"64 kib", 64LL << 10}, Accepted{"0.1 TB", 100000000000},
                                           Accepted{"0.5 TiB", 1LL << 39}, Accepted{"3 tb", 3000000000000},
                                           Accepted{"1e-3 GB", 1000000}, Accepted{"+8 KiB", 8192},
                                           Accepted{"\"1 MiB\"", 1 << 20},
                                           Accepted{"9223372036854775807", INT64_MAX}));

constexpr const char* kRule =
    "a number, alone or with B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024), as "
    "512 MiB";

struct Refused {
  const char* text;
  const char* message;  // what follows the key; kRule follows a colon at its end
};
class ByteMistakes : public ::testing::TestWithParam<Refused> {};
TEST_P(ByteMistakes, AreTold) {
  SampleConfig c;
  const auto loaded = LoadText("", {std::string("train.buffer=") + GetParam().text}, c);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(ExitCodeOf(loaded.status()), ExitCode::kConfiguration);
  std::string message = GetParam().message;
  if (message.ends_with(": ")) message += kRule;
  EXPECT_EQ(loaded.status().message(), "command line: train.buffer: " + message);
}
INSTANTIATE_TEST_SUITE_P(
    All, ByteMistakes,
    ::testing::Values(
        Refused{"lots", "'lots' is not a size in bytes: "}, Refused{"", "'' is not a size in bytes: "},
        Refused{"MiB", "'MiB' is not a size in bytes: "},
        Refused{"1 MiB 2", "'1 MiB 2' is not a size in bytes: "},
        Refused{"_4 MiB", "'_4 MiB' is not a size in bytes: "},
        Refused{"inf", "'inf' is not a size in bytes: "},
        Refused{"512 M", "'512 M' has the unknown unit 'M': "},
        Refused{"512 Mib/s", "'512 Mib/s' is not a size in bytes: "},
        Refused{"4.3 KiB", "'4.3 KiB' is not a whole number of bytes; the nearest are 4403 and 4404"},
        Refused{"4096.5", "'4096.5' is not a whole number of bytes; the nearest are 4096 and 4097"},
        Refused{"8388608 TiB", "'8388608 TiB' does not fit 64 bits; the largest size is 9223372036854775807"},
        Refused{"9223372036854775808",
                "'9223372036854775808' does not fit 64 bits; the largest size is 9223372036854775807"},
        Refused{"1 KiB", "'1 KiB' is out of range: must be at least 4 KiB; the nearest legal value is 4 KiB"},
        Refused{"-1", "'-1' is out of range: must be at least 4 KiB; the nearest legal value is 4 KiB"}));

TEST(ConfigBytes, AreNeverNegative) {
  int64_t value = 0;
  const auto loaded =
      LoadConfigFromText("limit: -1 KB", "run.yaml", {}, [&](Fields& f) { f.Bytes("limit", &value); });
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().message(),
            "run.yaml:1: limit: '-1 KB' is out of range: must be at least 0; the nearest legal value is 0");
}

TEST(ConfigBytes, AreWrittenInTheLargestExactBinaryUnitAndReadBack) {
  EXPECT_EQ(WriteByteSize(0), "0");
  EXPECT_EQ(WriteByteSize(1000), "1000");
  EXPECT_EQ(WriteByteSize(64 << 20), "64 MiB");
  EXPECT_EQ(WriteByteSize(1536), "1536");
  EXPECT_EQ(WriteByteSize(3 << 10), "3 KiB");
  EXPECT_EQ(WriteByteSize(5LL << 40), "5 TiB");
  EXPECT_EQ(WriteByteSize(1LL << 50), "1024 TiB");
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{1} << 62, INT64_MAX, (int64_t{1} << 30) + 1}) {
    EXPECT_EQ(std::get<int64_t>(ReadByteSize(WriteByteSize(bytes))), bytes);
  }
}

TEST(ConfigBytes, DumpHasAUnitAndJsonANumber) {
  SampleConfig c;
  const auto loaded = LoadText("train: {buffer: 1.5 GiB}", {}, c);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->Dump(), ::testing::ContainsRegex("  buffer: 1536 MiB +# run.yaml:1\n"));
  EXPECT_EQ(loaded->ToJson()["train"]["buffer"], int64_t{3} << 29);
  EXPECT_EQ(loaded->Cite("train.buffer"), "run.yaml:1: train.buffer = 1536 MiB");
  SampleConfig back;
  const auto again = LoadText(loaded->Dump(), {}, back);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(back.buffer, c.buffer);
  SampleConfig other;
  const auto plain = LoadText("", {}, other);
  const auto differences = loaded->Diff(*plain);
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].left, "1536 MiB");
  EXPECT_EQ(differences[0].right, "64 MiB");
}

}  // namespace
}  // namespace orthant::testing
