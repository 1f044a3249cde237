// A case as a batch job: its number, whether the scheduler still has it, and how its run ended.
#pragma once

#include <string>

#include "orthant/sweep/sweep_state.h"

namespace orthant {

// The job's number in what `orthant submit` printed; "" where it named none.
std::string JobIn(const std::string& output);

enum class JobState {
  kThere,  // queued, or under way
  kGone,
  kUnknown,  // the scheduler cannot be asked
};
struct JobAnswer {
  JobState state = JobState::kUnknown;
  std::string text;  // why it is not known
};
// By squeue or, for a number as PBS writes them, and where there is no squeue, qstat.
JobAnswer AskForJob(const std::string& job);

// How many starts of the run are on record (FOLDER/starts.json).
int StartsIn(const std::string& folder);

// Settles a submitted case by the starts of its run since the job was submitted and, unless the run is done,
// by whether the scheduler still has the job: done, interrupted, failed, or still submitted. A case that
// failed with its job is settled anew by an end that has come to light since.
void LookAfterJob(const std::string& folder, CaseRecord* record);

}  // namespace orthant
