#!/bin/sh
# mpirun.sh NP PROGRAM [ARGS...]: runs a test program under MPI, on one machine with any number of cores.
set -eu
np=$1
shift
# OpenMPI keeps sockets below TMPDIR, whose path must stay short; containers without ptrace cannot copy across processes.
TMPDIR=$(env -u TMPDIR mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT INT TERM
export OMP_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
: "${OMPI_MCA_btl_vader_single_copy_mechanism:=$([ -r /proc/sys/kernel/yama/ptrace_scope ] &&
    [ "$(cat /proc/sys/kernel/yama/ptrace_scope)" = 0 ] && echo cma || echo none)}"
export OMPI_MCA_btl_vader_single_copy_mechanism
set -- -n "$np" --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 "$@"
# Other MPIs know none of OpenMPI's options.
if ! mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
  shift 8
  set -- -n "$np" "$@"
fi
mpirun "$@"
