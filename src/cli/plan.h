// The two things that `orthant plan` does.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/plan_measure.h"
#include "cli/run_file.h"

namespace orthant {

// model.vocab, or the data's; the data is opened only where it is needed.
absl::StatusOr<int64_t> VocabularyOf(const RunConfig& config);

// plan --collectives. `ranks` 0: the file's own. CommunicationError: a conflict.
absl::Status PlanCollectivesOf(const RunFileOptions& run, int64_t ranks, const std::string& format);

struct PlanLayoutOptions {
  RunFileOptions run;
  std::string cluster, format = "text", write, html, svg;
  int64_t ranks = 0, show = 10;
  bool explain = false;
  MeasureOptions measure;
};
// plan --cluster.
absl::Status PlanLayout(const PlanLayoutOptions& options);

}  // namespace orthant
