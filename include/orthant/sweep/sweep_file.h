// SWEEP.yaml: one run tried in many variants and on many rank counts. Reading, and the cases that come of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/config/fields.h"

namespace orthant {

// The section `sweep`.
struct SweepSettings {
  std::string name = "sweep", dir, run;
  std::vector<int64_t> ranks;  // empty: each variant's own mesh
  std::string backend = "threads", scaling = "strong", fill = "data";
  int64_t batch_per_rank = 0;
  int64_t retries = 0;
  std::string calibration;
  int64_t ranks_per_node = 1;
  std::string arguments;
};
void Describe(Fields& f, SweepSettings& s);

// An item of `list` with a point of `grid`: a layout, whatever the ranks.
struct SweepVariant {
  std::string name;                    // usable in a file's name
  std::vector<std::string> overrides;  // "key=value"
  std::string fill;                    // the axis that takes the ranks which other axes leave
};

struct SweepFile {
  std::string path;
  SweepSettings settings;  // run as a path from the present folder, dir never empty
  std::vector<SweepVariant> variants;
};

// `run_fields`: every key that an override may name. ConfigurationError, a line for every mistake found:
// "FILE:LINE: key: ...".
absl::StatusOr<SweepFile> LoadSweep(const std::string& path, const std::vector<std::string>& overrides,
                                    const Fields& run_fields);
// The same from text; `path` for messages, and for where the run's file lies.
absl::StatusOr<SweepFile> LoadSweepFromText(const std::string& text, const std::string& path,
                                            const std::vector<std::string>& overrides,
                                            const Fields& run_fields);

// One run to be: a variant on a number of ranks.
struct SweepCase {
  std::string name;    // of its folder: "tensor-r4"
  std::string layout;  // the variant's name
  int64_t ranks = 0;   // 0: the run's own
  std::vector<std::string> overrides;
  std::string problem;  // why the ranks cannot be shared out so; "" when they can
};
// By variant, then by ranks.
std::vector<SweepCase> CasesOf(const SweepFile& file);

}  // namespace orthant
