// The MPI runtime of a test program of tier `mpi`, started by mpi_main.cpp.
#pragma once

#include <string>

#include "orthant/comm/mpi.h"

namespace orthant::testing {

MpiRuntime& TestRuntime();
Communicator& TestWorld();

// Prints the text with this process's rank and ends the whole job.
[[noreturn]] void AbortTests(const std::string& text);

}  // namespace orthant::testing
