#include "orthant/core/file_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace orthant {
namespace {

TEST(FileLockTest, HeldWhileADescriptorHoldsIt) {
  const std::string path = ::testing::TempDir() + "/file_lock_" + std::to_string(::getpid());
  EXPECT_EQ(LockOn(path), FileLock::kUnknown) << "there is none";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(file, 0);
  EXPECT_EQ(LockOn(path), FileLock::kFree);
  ASSERT_EQ(::flock(file, LOCK_SH | LOCK_NB), 0);
  EXPECT_EQ(LockOn(path), FileLock::kFree) << "another who looks is no holder";
  ASSERT_EQ(::flock(file, LOCK_EX | LOCK_NB), 0) << "looking leaves nothing behind";
  EXPECT_EQ(LockOn(path), FileLock::kHeld);
  ::close(file);
  EXPECT_EQ(LockOn(path), FileLock::kFree);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace orthant
