#!/usr/bin/env bash
# Ranks on hosts: mpirun spreads processes over hosts in turn, and tensor groups stay on one host; the curve is the same.
#   placement_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which compares the runs, is not on PATH" && exit 77; }
mpirun --version 2>/dev/null | grep -q 'Open MPI' || { echo "skipped: OpenMPI's mpirun is not on PATH" && exit 77; }
unshare --uts true 2>/dev/null || { echo "skipped: no right to make UTS namespaces, which name the hosts" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"

# Process i runs on host i modulo HOSTS, as mpirun --map-by node would start it.
cat >"$work/named.sh" <<'END'
#!/bin/sh
host=node$((OMPI_COMM_WORLD_RANK % $1))
shift
exec unshare --uts sh -c 'hostname "$0" && exec "$@"' "$host" "$@"
END
chmod +x "$work/named.sh"

# on_hosts NP HOSTS NAME KEY=VALUE...
on_hosts() {
  local np=$1 hosts=$2 name=$3
  shift 3
  timeout 200 "$here/../support/mpirun.sh" "$np" "$work/named.sh" "$hosts" "$binary" train "$run_file" \
    run.dir="$work/runs/$name" "$@" >"$work/$name.out" 2>"$work/$name.err" || {
    local code=$?
    cat "$work/$name.out" "$work/$name.err"
    return "$code"
  }
}

# rows NAME: the map's rows of hosts.
rows() { grep '^node[0-9]* *|' "$work/$1.out"; }

placed_rows() { diff <(printf '%s\n' 'node0 | 0 D0 T0 | 1 D0 T1' 'node1 | 2 D1 T0 | 3 D1 T1') <(rows placed); }
launched_rows() { diff <(printf '%s\n' 'node0 | 0 D0 T0 | 2 D1 T0' 'node1 | 1 D0 T1 | 3 D1 T1') <(rows launched); }
warning="note       warning: 2 of 2 tensor groups cross hosts (rank 0 on node0, rank 1 on node1): every layer waits for the"
warning+=" network; parallel.placement=by_host avoids it"

check "4 threads" train threads parallel.data=2 parallel.tensor=2
check "4 processes, in turn on 2 hosts" on_hosts 4 2 placed parallel.data=2 parallel.tensor=2
check "tensor groups are on one host each" placed_rows
check "nothing is warned of" bash -c "! grep 'cross hosts' '$work/placed.out'"
check "the curve is that of the threads" close threads placed 1e-12
check "as launched" on_hosts 4 2 launched parallel.data=2 parallel.tensor=2 parallel.placement=as_launched
check "the map shows it" launched_rows
check "and it is told before the first step, with what avoids it" grep -qxF "$warning" "$work/launched.out"
check "the same curve, to the bit" same placed launched
axes=(parallel.data=2 parallel.tensor=2 parallel.pipeline=2 parallel.zero=1)
check "8 threads" train threads8 "${axes[@]}"
check "8 processes in turn on 4 hosts, to step 4" on_hosts 8 4 three "${axes[@]}" train.stop_at=4 checkpoint.every=2
check "and on, in turn on 2 hosts" on_hosts 8 2 three "${axes[@]}"
check "the same curve" close threads8 three 1e-12

# Process 2 is rank 1 here: a verdict names ranks by their place in the mesh.
killed() {
  local code=0
  on_hosts 4 2 killed parallel.data=2 parallel.tensor=2 'fault.inject=[kill rank=1 step=3]' >/dev/null || code=$?
  ((code != 0)) && grep -q 'D0-T1-P0-S0 rank 1' "$work/killed.err" && return 0
  echo "exit code $code"
  cat "$work/killed.err"
  return 1
}
check "a verdict names ranks as they are placed" killed
finish
