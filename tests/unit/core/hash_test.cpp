#include "orthant/core/hash.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

TEST(Hash, Fnv1aKnownAnswers) {
  static_assert(Fnv1a64("") == 0xcbf29ce484222325u);
  EXPECT_EQ(Fnv1a64("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(Fnv1a64("foobar"), 0x85944171f73967e8u);
}

TEST(Hash, Xxh64KnownAnswers) {
  EXPECT_EQ(Xxh64(""), 0xef46db3751d8e999u);
  EXPECT_EQ(Xxh64("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_EQ(Xxh64("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(Xxh64("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
  EXPECT_NE(Xxh64("abc", 1), Xxh64("abc", 2));
}

TEST(Hash, Xxh64SeesEveryByte) {
  std::string text(77, 'x');
  const uint64_t whole = Xxh64(text);
  for (char& c : text) {
    c ^= 1;
    EXPECT_NE(Xxh64(text), whole);
    c ^= 1;
  }
}

TEST(Hash, Sha256KnownAnswers) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Hash, Sha256InPiecesIsTheSame) {
  const std::string text(1000, 'q');
  for (const size_t piece : {1, 3, 55, 56, 63, 64, 65, 999}) {
    Sha256 sha;
    for (size_t at = 0; at < text.size(); at += piece) sha.Update(std::string_view(text).substr(at, piece));
    EXPECT_EQ(sha.HexDigest(), Sha256Hex(text)) << piece;
  }
}

TEST(Hash, Sha256OfAFile) {
  const std::string path = ::testing::TempDir() + "orthant_hash_test";
  std::ofstream(path) << "abc";
  EXPECT_EQ(*Sha256OfFile(path), Sha256Hex("abc"));
  std::filesystem::remove(path);
  EXPECT_EQ(ExitCodeOf(Sha256OfFile(path).status()), ExitCode::kData);
}

}  // namespace
}  // namespace orthant::testing
