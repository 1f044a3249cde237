// SweepData: a sweep from its folder: sweep.json and each run's own files, as figures to compare.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/mesh/mesh.h"
#include "orthant/report/run_data.h"
#include "orthant/sweep/sweep_state.h"

namespace orthant {

// What a case came to. NaN where its files do not say.
struct SweepFigures {
  int64_t ranks = 0;
  std::string rest;                       // "tensor 2": the degrees beside data, "" without any
  int zero = 0;                           // ZeRO stage
  int64_t steps = 0;                      // that the medians are of
  double step_seconds = 0;                // median, without the first steps
  double tokens_per_second = 0, mfu = 0;  // medians of the same steps
  double memory_bytes = 0;                // of the rank that holds most; rank 0's where the run did not end
  double last_loss = 0;
};

struct SweepRow {
  CaseRecord record;
  bool measured = false;  // it has steps: the figures are set
  SweepFigures figures;
};

struct SweepData {
  std::string folder;
  SweepState state;
  std::vector<SweepRow> rows;      // in the file's order
  std::vector<std::string> notes;  // for the reader: what is missing or damaged

  std::vector<std::string> Layouts() const;  // in the order of the rows, each once
};

bool IsSweepFolder(const std::string& folder);  // it holds sweep.json
// DataError when sweep.json is missing or damaged; a run that is damaged is a note.
absl::StatusOr<SweepData> ReadSweep(const std::string& folder);
SweepFigures FiguresOf(const RunData& run);

}  // namespace orthant
