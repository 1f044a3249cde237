#include "orthant/launch/supervisor.h"

#include "orthant/core/status.h"

namespace orthant {

bool Restartable(int exit_code) {
  switch (static_cast<ExitCode>(exit_code)) {
    case ExitCode::kDone:
    case ExitCode::kConfiguration:
    case ExitCode::kEnvironment:
    case ExitCode::kData:
    case ExitCode::kNumerical:
    case ExitCode::kSignal:
      return false;
    default:
      return true;
  }
}

}  // namespace orthant
