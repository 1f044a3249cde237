// The process of OpenMPI's that has started this one: mpirun on the host of its start, its daemon on the
// others. After a host is lost neither ends by itself: they wait for each other.
#pragma once

#include <cstdint>

namespace orthant::mpi {

struct Launcher {
  int64_t pid = 0;  // 0: none that is known (another MPI's, SLURM's)
  uint64_t start_time = 0;
  bool speaks = false;  // it is mpirun itself: what its ranks print reaches the user without a network
};

// The nearest one above this process, through the scripts between.
Launcher FindLauncher();

// Ends the launcher if it is still there after `seconds`, from a process of its own that outlives this one.
// Without a launcher it does nothing.
void EndLauncherLater(const Launcher& launcher, double seconds);

}  // namespace orthant::mpi
