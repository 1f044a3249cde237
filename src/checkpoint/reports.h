// What the ranks tell rank 0 about their files, what it makes of that, and what it tells them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/checkpoint/manifest.h"
#include "orthant/checkpoint/saver.h"

namespace orthant {

// A rank's file is written (a manifest of that file alone), or why not. A rank without a file reports "".
std::string ReportOf(const CheckpointManifest& shard);
std::string ReportOf(const absl::Status& failure);

// The reports in rank order. The failure of the lowest rank that failed, else all shards as one manifest,
// whose tensors are complete (an internal error where the pieces were not: a bug of the caller's).
absl::StatusOr<CheckpointManifest> JoinReports(const std::vector<std::string>& reports);

// Status, bytes and notice of a result, as every rank shall have them.
std::string OutcomeText(const SaveResult& result);
void ReadOutcome(const std::string& text, SaveResult* result);

}  // namespace orthant
