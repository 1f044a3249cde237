// Status at boundaries: every mistake a user can cause travels as absl::Status with a message fit to print.
// The kind of failure decides the process's exit code (docs/failures.md); nothing else does.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

enum class ExitCode : int {
  kDone = 0,
  kInternal = 1,       // a bug
  kConfiguration = 2,  // configuration or usage
  kEnvironment = 3,    // missing device, library, wrong world size
  kCommunication = 4,  // timeout, mismatch, dead peer
  kData = 5,           // data or checkpoint damaged or missing
  kNumerical = 6,      // loss not finite
  kSignal = 7,         // stopped by a signal after a clean save
};

// Makers, one a kind. `message` is a whole sentence for the user: file, line, key, value, rule, nearest legal
// value.
absl::Status ConfigurationError(std::string message);
absl::Status EnvironmentError(std::string message);
absl::Status CommunicationError(std::string message);
absl::Status DataError(std::string message);
absl::Status NumericalError(std::string message);

// The same status with "prefix: " before its message; its exit code is kept. OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

// A failure whose kind another process or thread decided.
absl::Status StatusWithExitCode(ExitCode code, std::string message);

// The exit code of a status; OK is kDone, a status made elsewhere is kInternal.
ExitCode ExitCodeOf(const absl::Status& status);

// A status that crosses the training loop as an exception; the launcher turns it back.
class StatusError : public std::runtime_error {
 public:
  explicit StatusError(absl::Status status)
      : std::runtime_error(std::string(status.message())), status_(std::move(status)) {}
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

}  // namespace orthant
