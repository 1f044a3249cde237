#include "orthant/comm/comm_config.h"

namespace orthant {

void Describe(Fields& fields, CommConfig& config) {
  fields.Choice("backend", &config.backend, {"auto", "local", "mpi"})
      .Doc(
          "What carries the ranks: threads of this process (local) or MPI processes (mpi); auto: mpi under a "
          "launcher (mpirun, srun, mpiexec), local otherwise.");
  fields.Real("timeout", &config.timeout)
      .Above(0)
      .Unit("seconds")
      .Doc("An operation that waits longer for its peers ends the run and names who is missing.");
}

}  // namespace orthant
