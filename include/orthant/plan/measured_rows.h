// Measured step times as CSV, to calibrate a planner on and to judge it by. Three forms are read, told apart
// by their head: vTrain's over several nodes (its first column is the model's parameters in billions),
// vTrain's on one node, and MosaicML's FSDP throughput. docs/planning.md lists the columns.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/plan/step_model.h"

namespace orthant {

struct MeasuredRow {
  int64_t line = 0;    // of the file, from 1
  std::string text;    // as it stands there
  std::string model;   // what cross-validation leaves out together: "3.6", "24 layers", "7b"
  std::string device;  // as the row names it, "a100_40gb"; "": it does not
  bool one_node = false;
  PlanModel shape;       // vocabulary, biases and dropout are the software's, see WorkloadOf
  PlannedLayout layout;  // recompute and ZeRO too where the row says them
  bool says_recompute = false, says_zero = false;
  int64_t global_batch = 1;
  double seconds = 0;  // 0: the row has no time
};

struct MeasuredRows {
  std::string path, head;
  std::vector<MeasuredRow> rows;
};

// DataError: no such file. ConfigurationError "FILE:LINE: COLUMN = VALUE: RULE; nearest legal: ..." for a
// head of none of the forms, missing columns, numbers that cannot be, layouts that cannot be run.
absl::StatusOr<MeasuredRows> ReadMeasuredRows(const std::string& path);
// The same of text; `path` begins messages.
absl::StatusOr<MeasuredRows> ParseMeasuredRows(const std::string& text, const std::string& path);

// The machine that a row was measured on: of the device that it names; on one node, one without a network if
// there is one. Null: none of them.
const Machine* MachineOf(const MeasuredRow& row, const std::vector<Machine>& machines);

// The row as that machine's software ran it.
Workload WorkloadOf(const MeasuredRow& row, const Machine& machine);
PlannedLayout PlannedLayoutOf(const MeasuredRow& row, const Machine& machine);
// Predict of the two.
absl::StatusOr<LayoutPrediction> PredictRow(const MeasuredRow& row, const Machine& machine);

}  // namespace orthant
