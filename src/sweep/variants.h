// The parts `list` and `grid` of a sweep's file, which hold keys of the run rather than keys of their own.
#pragma once

#include <string>
#include <vector>

#include "orthant/sweep/sweep_file.h"

namespace orthant {

struct SweepParts {
  std::vector<SweepVariant> variants;
  std::string rest;  // the text with `list` and `grid` blanked out: lines keep their numbers
};

// Mistakes go to `errors`, one a line. `fill` of a variant is empty where it does not say.
SweepParts ReadSweepParts(const std::string& text, const std::string& path, const Fields& run_fields,
                          std::vector<std::string>* errors);

}  // namespace orthant
