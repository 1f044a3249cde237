// What the nccl backend needs of MPI: letters between processes, and how a runtime begins and fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "comm/mpi_letters.h"
#include "orthant/comm/nccl.h"
#include "orthant/core/status.h"
#include "support/fake_nccl.h"
#include "support/mpi_runtime.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Await(nccl::Letters* letters, int from, const std::string& key) {
  while (true) {
    if (const std::optional<std::string> text = letters->Take(from, key)) return *text;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(MpiLettersTest, ComeByKeyAndInOrder) {
  const int rank = TestRuntime().rank();
  const int size = TestRuntime().size();
  mpi::MpiLetters letters(MPI_COMM_WORLD);
  const std::string zeros("a\0b", 3);  // an id holds any bytes
  for (int to = 0; to < size; ++to) {
    if (to == rank) continue;
    letters.Post(to, "one", "first of " + std::to_string(rank));
    letters.Post(to, "two", zeros);
    letters.Post(to, "one", "second of " + std::to_string(rank));
  }
  for (int from = 0; from < size; ++from) {
    if (from == rank) continue;
    EXPECT_EQ(Await(&letters, from, "two"), zeros);
    EXPECT_EQ(Await(&letters, from, "one"), "first of " + std::to_string(from));
    EXPECT_EQ(Await(&letters, from, "one"), "second of " + std::to_string(from));
    EXPECT_FALSE(letters.Take(from, "one").has_value());
  }
  TestWorld().Barrier("letters.taken");
}

TEST(NcclRuntimeTest, RefusesLibrariesAndDevicesItCannotUse) {
  FakeNccl fake(TestRuntime().size());
  const int rank = TestRuntime().rank();
  NcclTable old = fake.Table(rank);
  old.get_version = [](void*, int* version) {
    *version = 21805;
    return NcclResult::kSuccess;
  };
  const absl::Status version = NcclRuntime::Create(TestRuntime(), old, fake.devices().Table(rank)).status();
  EXPECT_EQ(ExitCodeOf(version), ExitCode::kEnvironment);
  EXPECT_THAT(version.message(), AllOf(HasSubstr("NCCL 2.18.5 is too old"), HasSubstr("2.22.0 or later")));

  DeviceTable none = fake.devices().Table(rank);
  none.current_device = [](void*, int*) { return 100; };
  const absl::Status device = NcclRuntime::Create(TestRuntime(), fake.Table(rank), none).status();
  EXPECT_EQ(ExitCodeOf(device), ExitCode::kEnvironment);
  EXPECT_THAT(device.message(), HasSubstr("cannot be used: cudaGetDevice: a fault of the fake device"));
}

// Each process has a fake of its own, where the others never come.
TEST(NcclRuntimeTest, AWorldThatDoesNotComeTogetherIsAnError) {
  FakeNccl fake(TestRuntime().size());
  const int rank = TestRuntime().rank();
  const double timeout = TestRuntime().flight_recorder()->timeout();
  std::string error;
  {
    auto runtime = NcclRuntime::Create(TestRuntime(), fake.Table(rank), fake.devices().Table(rank));
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    EXPECT_EQ((*runtime)->version(), "2.28.9");
    TestWorld().Barrier("before");
    TestRuntime().flight_recorder()->set_timeout(1);
    try {
      (*runtime)->World();
    } catch (const CommError& thrown) {
      error = thrown.what();
    }
    TestRuntime().flight_recorder()->set_timeout(timeout);
  }
  EXPECT_THAT(error, HasSubstr("making the communicator of group world on rank " + std::to_string(rank)));
  EXPECT_THAT(error, HasSubstr("the other ranks did not come within 1 s"));
  EXPECT_THAT(fake.Finish(), ::testing::IsEmpty());
  TestWorld().Barrier("after");
}

}  // namespace
}  // namespace orthant::testing
