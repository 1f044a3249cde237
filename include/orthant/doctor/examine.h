// The examination: gathers facts on all ranks, measures, judges on rank 0.
#pragma once

#include <string>

#include "orthant/comm/communicator.h"
#include "orthant/doctor/check.h"

namespace orthant::doctor {

struct ExamineOptions {
  std::string folder = ".";  // where a run would write: it, or its nearest parent that is there, is tried
  bool launched = false;     // ranks are MPI processes
  std::string host;          // what this rank's host is called; empty: what the machine says (tests name it)
};

// The report, on rank 0; an empty one elsewhere. Collective; takes a few seconds. CommError when a rank is
// not heard of in time.
Report Examine(Communicator& world, const ExamineOptions& options);

}  // namespace orthant::doctor
