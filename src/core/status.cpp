#include "orthant/core/status.h"

#include <string_view>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

// The exit code travels as a payload: absl's own codes are too few to tell the kinds apart, and a payload
// survives annotation.
constexpr std::string_view kPayload = "orthant/exit-code";

absl::Status Make(absl::StatusCode code, ExitCode exit_code, std::string message) {
  absl::Status status(code, message);
  status.SetPayload(absl::string_view(kPayload.data(), kPayload.size()),
                    absl::Cord(absl::StrCat(static_cast<int>(exit_code))));
  return status;
}

}  // namespace

absl::Status ConfigurationError(std::string message) {
  return Make(absl::StatusCode::kInvalidArgument, ExitCode::kConfiguration, std::move(message));
}
absl::Status EnvironmentError(std::string message) {
  return Make(absl::StatusCode::kFailedPrecondition, ExitCode::kEnvironment, std::move(message));
}
absl::Status CommunicationError(std::string message) {
  return Make(absl::StatusCode::kUnavailable, ExitCode::kCommunication, std::move(message));
}
absl::Status DataError(std::string message) {
  return Make(absl::StatusCode::kDataLoss, ExitCode::kData, std::move(message));
}
absl::Status NumericalError(std::string message) {
  return Make(absl::StatusCode::kOutOfRange, ExitCode::kNumerical, std::move(message));
}

absl::Status StatusWithExitCode(ExitCode code, std::string message) {
  switch (code) {
    case ExitCode::kDone:
      return absl::OkStatus();
    case ExitCode::kConfiguration:
      return ConfigurationError(std::move(message));
    case ExitCode::kEnvironment:
      return EnvironmentError(std::move(message));
    case ExitCode::kCommunication:
      return CommunicationError(std::move(message));
    case ExitCode::kData:
      return DataError(std::move(message));
    case ExitCode::kNumerical:
      return NumericalError(std::move(message));
    case ExitCode::kInternal:
    case ExitCode::kSignal:
      break;
  }
  return Make(absl::StatusCode::kInternal, code, std::move(message));
}

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(std::string(prefix), ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return ExitCode::kDone;
  const auto payload = status.GetPayload(absl::string_view(kPayload.data(), kPayload.size()));
  int code = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &code)) return ExitCode::kInternal;
  return static_cast<ExitCode>(code);
}

}  // namespace orthant
