// TensorBoard's files to the byte.
#include "orthant/train/event_file.h"

#include <bit>
#include <filesystem>

#include "gtest/gtest.h"
#include "orthant/core/crc32c.h"
#include "orthant/core/file.h"

namespace orthant {
namespace {

uint64_t Little(const std::string& bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

TEST(TfRecord, LengthChecksumBytesChecksum) {
  const std::string record = TfRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(Little(record, 0, 8), 3u);
  EXPECT_EQ(Little(record, 8, 4), MaskedCrc32c(record.substr(0, 8)));
  EXPECT_EQ(record.substr(12, 3), "abc");
  EXPECT_EQ(Little(record, 15, 4), MaskedCrc32c("abc"));
}

TEST(ScalarsEvent, IsTheProtocolBuffer) {
  const std::string event = ScalarsEvent(1.5, 300, {{"a", 2.0}});
  std::string expected = "\x09";  // wall_time, fixed64
  for (int i = 0; i < 8; ++i) expected += static_cast<char>((std::bit_cast<uint64_t>(1.5) >> (8 * i)) & 0xff);
  expected += "\x10\xac\x02";              // step, varint 300
  expected += std::string("\x2a\x0a", 2);  // summary, 10 bytes
  expected += std::string("\x0a\x08", 2);  // its value, 8 bytes
  expected += std::string(
      "\x0a\x01"
      "a",
      3);                                              // tag
  expected += std::string("\x15\x00\x00\x00\x40", 5);  // simple_value, 2.0f
  EXPECT_EQ(event, expected);
}

TEST(EventFile, OpensWithVersionAndRestart) {
  const std::string folder = (std::filesystem::temp_directory_path() / "orthant-event-file-test").string();
  std::filesystem::remove_all(folder);
  std::string first;
  {
    absl::StatusOr<EventFile> file = EventFile::Create(folder, 7);
    ASSERT_TRUE(file.ok()) << file.status();
    first = file->path();
    ASSERT_TRUE(file->Append(8, {{"loss", 1.0}}).ok());
  }
  absl::StatusOr<EventFile> second = EventFile::Create(folder, 7);
  ASSERT_TRUE(second.ok());
  EXPECT_NE(second->path(), first) << "two starts within one second";
  EXPECT_NE(first.find("events.out.tfevents."), std::string::npos) << "the name that TensorBoard looks for";
  const std::string bytes = ReadFile(first).value();
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = Little(bytes, at, 8);
    records.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(Little(bytes, at + 12 + length, 4), MaskedCrc32c(records.back()));
    at += 16 + length;
  }
  ASSERT_EQ(records.size(), 3u);
  EXPECT_NE(records[0].find("brain.Event:2"), std::string::npos);
  EXPECT_EQ(records[1].substr(9), std::string("\x10\x08\x3a\x02\x08\x01", 6)) << "step 8, SessionLog START";
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace orthant
