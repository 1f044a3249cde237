#include "orthant/comm/comm_config.h"

namespace orthant {

void Describe(Fields& fields, CommConfig& config) {
  fields.Choice("backend", &config.backend, {"auto", "local", "mpi", "nccl"})
      .Doc(
          "What carries the ranks: threads of this process (local), MPI processes (mpi), or MPI processes "
          "with "
          "a GPU each, whose tensors NCCL carries (nccl: builds of preset cuda). auto: what the launcher and "
          "the device ask for: local without a launcher (mpirun, srun, mpiexec), else nccl on GPUs and mpi "
          "on "
          "CPUs.");
  fields.Real("timeout", &config.timeout)
      .Above(0)
      .Unit("seconds")
      .Doc("An operation that waits longer for its peers ends the run and names who is missing.");
  fields.Real("start_timeout", &config.start_timeout)
      .Above(0)
      .Unit("seconds")
      .Doc(
          "The same until the first step is done, while files are read for the first time and memory is "
          "made.");
  fields.Bool("check", &config.check)
      .Doc(
          "Ranks tell each other what they call before each operation moves data: a mismatch ends the run "
          "and "
          "names what each one called. Costs an exchange of small messages each time; for finding faults.");
}

}  // namespace orthant
