// What `orthant doctor` says: checks, each ok, warn or fail with what to do about it, and the measurements
// that they rest on; as text for a screen and as JSON.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace orthant::doctor {

enum class State { kOk, kWarn, kFail };
const char* ToString(State state);  // "ok", "warn", "fail"

struct Check {
  std::string name;  // "host clocks": also its heading in docs/doctor.md
  State state = State::kOk;
  std::string text;    // what was found, with its figures
  std::string remedy;  // what to do; empty where all is well
};

struct Report {
  std::string heading;  // "8 ranks on 4 hosts: ..."
  std::vector<Check> checks;
  nlohmann::ordered_json facts;  // of every rank, and of links: what JSON shows beside the checks
};

// The worse of two.
State Worse(State a, State b);

// Lines of at most `width` columns where words allow it, the remedy below its check.
std::string ToText(const Report& report, int width);
// {"heading", "ok", "warnings", "failures", "checks": [{"name", "state", "text", "remedy"}, ...], ...facts}
nlohmann::ordered_json ToJson(const Report& report);

// OK when nothing failed; else an EnvironmentError that names the failed checks.
absl::Status Outcome(const Report& report);

}  // namespace orthant::doctor
