#include "orthant/core/status.h"

#include "gtest/gtest.h"

namespace orthant::testing {
namespace {

TEST(Status, EachKindHasItsExitCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), ExitCode::kDone);
  EXPECT_EQ(ExitCodeOf(ConfigurationError("x")), ExitCode::kConfiguration);
  EXPECT_EQ(ExitCodeOf(EnvironmentError("x")), ExitCode::kEnvironment);
  EXPECT_EQ(ExitCodeOf(CommunicationError("x")), ExitCode::kCommunication);
  EXPECT_EQ(ExitCodeOf(DataError("x")), ExitCode::kData);
  EXPECT_EQ(ExitCodeOf(NumericalError("x")), ExitCode::kNumerical);
}

TEST(Status, OneMadeElsewhereIsABug) {
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("x")), ExitCode::kInternal);
  EXPECT_EQ(ExitCodeOf(absl::DataLossError("x")), ExitCode::kInternal);
}

TEST(Status, AnnotationKeepsTheExitCode) {
  const absl::Status status = Annotate(DataError("is empty"), "tokens.bin");
  EXPECT_EQ(status.message(), "tokens.bin: is empty");
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

}  // namespace
}  // namespace orthant::testing
