#!/usr/bin/env bash
# An ssh for mpirun in tests (--mca plm_rsh_agent): runs the command on this machine, under the host's name.
set -euo pipefail
while [[ "${1:-}" == -* ]]; do shift; done
host=$1
shift
exec unshare --uts sh -c "hostname $host && exec sh -c \"\$0\"" "$*"
