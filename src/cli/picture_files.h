// Pictures as SVG files, for every subcommand that draws.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "orthant/report/charts.h"

namespace orthant {

// FOLDER/NAME.svg each, and a line to `said` for each. EnvironmentError when one cannot be written.
absl::Status WriteSvgs(const std::vector<Picture>& pictures, const std::string& folder, std::ostream& said);

}  // namespace orthant
