// The folder RUN_DIR/checkpoints: step_00000340/ for each whole checkpoint, `latest` naming the newest, and
// what a crash may leave behind.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

std::string StepName(int64_t step);  // "step_00000340"

// Steps with a folder of that name, newest first. Folders that are being written have other names. Empty when
// there is no such folder.
std::vector<int64_t> StepsIn(const std::string& checkpoints);

// The step that `latest` names; -1 when there is none or it names no folder.
int64_t LatestStep(const std::string& checkpoints);

// A user's way to name a checkpoint: a step's folder, a folder of checkpoints or a run's folder (their latest
// step). -> the step's folder. DataError when there is none, with what is there.
absl::StatusOr<std::string> ResolveCheckpoint(const std::string& path);

// The steps that `keep_last` and `keep_every` let go of; `newest` is never among them. Pure.
std::vector<int64_t> StepsToRemove(std::vector<int64_t> steps, int64_t newest, int64_t keep_last,
                                   int64_t keep_every);

// Removes what unfinished saves and removals have left. One process calls it, while nobody saves.
absl::Status CleanUp(const std::string& checkpoints);

}  // namespace orthant
