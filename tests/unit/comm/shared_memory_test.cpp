#include "comm/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "comm/bell.h"

namespace orthant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// Runs `body` in a process of its own; its exit code.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SharedMemoryTest, AnotherProcessSeesIt) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(100000);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->bytes(), 100000);
  EXPECT_EQ(static_cast<int>(memory->data()[99999]), 0);
  memory->data()[7] = std::byte{5};
  const SharedMemoryHandle handle = memory->handle();
  EXPECT_EQ(InChild([&handle] {
              absl::StatusOr<SharedMemory> other = SharedMemory::Attach(handle);
              if (!other.ok() || other->bytes() != 100000 || other->data()[7] != std::byte{5}) return 1;
              other->data()[99999] = std::byte{9};
              return 0;
            }),
            0);
  EXPECT_EQ(static_cast<int>(memory->data()[99999]), 9);
  // No file has its name, so nothing can be left over.
  EXPECT_THAT(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(handle.file)).string(),
              AllOf(HasSubstr("/memfd:"), HasSubstr("(deleted)")));
}

TEST(SharedMemoryTest, CloseEndsAttaching) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(4096);
  ASSERT_TRUE(memory.ok());
  const SharedMemoryHandle handle = memory->handle();
  memory->Close();
  const absl::StatusOr<SharedMemory> late = SharedMemory::Attach(handle);
  ASSERT_FALSE(late.ok());
  EXPECT_THAT(std::string(late.status().message()), HasSubstr("/proc/"));
  memory->data()[4095] = std::byte{1};  // still mapped here
}

TEST(SharedMemoryTest, AnotherFileIsRefused) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(4096);
  absl::StatusOr<SharedMemory> other = SharedMemory::Create(4096);
  ASSERT_TRUE(memory.ok() && other.ok());
  SharedMemoryHandle handle = memory->handle();
  handle.file = other->handle().file;
  const absl::StatusOr<SharedMemory> wrong = SharedMemory::Attach(handle);
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("another container"));
}

TEST(SharedMemoryTest, TooMuchIsRefusedWithTheReason) {
  const absl::StatusOr<SharedMemory> memory = SharedMemory::Create(int64_t{1} << 62);
  ASSERT_FALSE(memory.ok());
  EXPECT_THAT(std::string(memory.status().message()), HasSubstr("4611686018427387904"));
}

TEST(BellTest, WakesASleeperOfAnotherProcess) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(2 * sizeof(Bell));
  ASSERT_TRUE(memory.ok());
  auto* bells = reinterpret_cast<Bell*>(memory->data());
  const int slept = InChild([bells] {
    Bell::Nap nap(&bells[1]);
    bells[0].Ring();  // nobody sleeps there: nothing happens
    const auto start = Clock::now();
    std::thread ringer([bells] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      bells[1].Ring();
    });
    nap.Sleep(std::chrono::seconds(20));
    const bool in_time = Clock::now() - start < std::chrono::seconds(10);
    ringer.join();
    return in_time ? 0 : 1;
  });
  EXPECT_EQ(slept, 0);
}

TEST(BellTest, ARingBeforeTheSleepIsNotLost) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(sizeof(Bell));
  ASSERT_TRUE(memory.ok());
  auto* bell = reinterpret_cast<Bell*>(memory->data());
  const auto start = Clock::now();
  {
    Bell::Nap nap(bell);
    EXPECT_EQ(InChild([bell] {
                bell->Ring();
                return 0;
              }),
              0);
    nap.Sleep(std::chrono::seconds(20));
  }
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
  Bell::Nap nap(bell);
  nap.Sleep(std::chrono::milliseconds(1));  // nobody rings: the limit ends it
}

}  // namespace
}  // namespace orthant
