#include "orthant/core/file.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(::testing::TempDir()) / (std::string("orthant_file_") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  size_t FileCount() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  fs::path folder_;
};

TEST_F(FileTest, WritesAndReadsBytes) {
  const std::string bytes("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomically(Path("x"), bytes).ok());
  EXPECT_EQ(*ReadFile(Path("x")), bytes);
  ASSERT_TRUE(WriteFileAtomically(Path("x"), "").ok());
  EXPECT_EQ(*ReadFile(Path("x")), "");
  const std::string large(3 << 20, 'z');
  ASSERT_TRUE(WriteFileAtomically(Path("x"), large).ok());
  EXPECT_EQ(*ReadFile(Path("x")), large);
  EXPECT_EQ(FileCount(), 1u);  // nothing is left beside it
}

TEST_F(FileTest, AReplacedFileStaysWholeForWhoHasItOpen) {
  ASSERT_TRUE(WriteFileAtomically(Path("x"), "old").ok());
  std::ifstream open(Path("x"));
  ASSERT_TRUE(WriteFileAtomically(Path("x"), "new!").ok());
  std::string seen;
  open >> seen;
  EXPECT_EQ(seen, "old");
  EXPECT_EQ(*ReadFile(Path("x")), "new!");
}

TEST_F(FileTest, FailedWritesSayWhyAndLeaveNothing) {
  const absl::Status missing = WriteFileAtomically(Path("no/such/x"), "text");
  EXPECT_EQ(ExitCodeOf(missing), ExitCode::kEnvironment);
  EXPECT_EQ(missing.message(), Path("no/such/x") + ": cannot be written: No such file or directory");
  fs::create_directories(folder_ / "taken/inside");
  EXPECT_FALSE(WriteFileAtomically(Path("taken"), "text").ok());
  EXPECT_EQ(FileCount(), 1u);
}

TEST_F(FileTest, ReadErrorsAreDataErrors) {
  const auto missing = ReadFile(Path("x"));
  EXPECT_EQ(ExitCodeOf(missing.status()), ExitCode::kData);
  EXPECT_EQ(missing.status().message(), Path("x") + ": cannot be opened: No such file or directory");
  EXPECT_EQ(ReadFile(folder_.string()).status().message(), folder_.string() + ": is a folder, not a file");
}

TEST_F(FileTest, ReadsFilesThatHideTheirSize) {
  EXPECT_THAT(*ReadFile("/proc/self/status"), HasSubstr("Name:"));
}

TEST_F(FileTest, MakesFoldersAndNamesWhatIsInTheWay) {
  ASSERT_TRUE(MakeDirectories(Path("a/b/c")).ok());
  EXPECT_TRUE(IsFolder(Path("a/b/c")));
  EXPECT_TRUE(MakeDirectories(Path("a/b/c")).ok());
  std::ofstream(Path("a/file")) << "x";
  const absl::Status blocked = MakeDirectories(Path("a/file/d"));
  EXPECT_EQ(ExitCodeOf(blocked), ExitCode::kEnvironment);
  EXPECT_EQ(blocked.message(),
            Path("a/file/d") + ": cannot be made: " + Path("a/file") + " is a file, not a folder");
  EXPECT_FALSE(MakeDirectories(Path("a/file")).ok());
}

TEST_F(FileTest, MapsFiles) {
  ASSERT_TRUE(WriteFileAtomically(Path("x"), "abc").ok());
  auto mapped = MappedFile::Open(Path("x"));
  ASSERT_TRUE(mapped.ok());
  MappedFile moved = std::move(*mapped);
  ASSERT_EQ(moved.bytes().size(), 3u);
  EXPECT_EQ(moved.bytes()[2], std::byte{'c'});
  EXPECT_TRUE(mapped->bytes().empty());
  MappedFile other;
  other = std::move(moved);
  EXPECT_EQ(other.bytes()[0], std::byte{'a'});
}

TEST_F(FileTest, MapsEmptyFilesAndRefusesMissingOnes) {
  ASSERT_TRUE(WriteFileAtomically(Path("x"), "").ok());
  EXPECT_TRUE(MappedFile::Open(Path("x"))->bytes().empty());
  EXPECT_EQ(ExitCodeOf(MappedFile::Open(Path("y")).status()), ExitCode::kData);
}

TEST_F(FileTest, JsonRoundTripsAndNamesTheFileWhenBroken) {
  const nlohmann::json value = {{"loss", 0.1 + 0.2}, {"step", 7}};
  ASSERT_TRUE(WriteJsonFile(Path("x.json"), value).ok());
  EXPECT_EQ(*ReadJsonFile(Path("x.json")), value);
  ASSERT_TRUE(WriteFileAtomically(Path("x.json"), "{\"a\": ").ok());
  const auto broken = ReadJsonFile(Path("x.json"));
  EXPECT_EQ(ExitCodeOf(broken.status()), ExitCode::kData);
  EXPECT_THAT(std::string(broken.status().message()),
              ::testing::StartsWith(Path("x.json") + ": is not valid JSON: "));
  EXPECT_EQ(ExitCodeOf(WriteJsonFile(Path("y.json"), "\xff")), ExitCode::kData);
}

}  // namespace
}  // namespace orthant::testing
