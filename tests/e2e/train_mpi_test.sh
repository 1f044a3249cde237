#!/usr/bin/env bash
# `orthant train` under mpirun: the curve that ranks as threads give, and an end when a rank dies.
#   train_mpi_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v mpirun >/dev/null || { echo "skipped: mpirun is not on PATH" && exit 77; }
command -v python3 >/dev/null || { echo "skipped: python3, which compares the runs, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"

# under_mpirun NP NAME KEY=VALUE...: trains in $work/runs/NAME, each process a rank.
under_mpirun() {
  local np=$1 name=$2
  shift 2
  timeout 200 "$here/../support/mpirun.sh" "$np" "$binary" train "$run_file" run.dir="$work/runs/$name" "$@" \
    >"$work/$name.out" 2>"$work/$name.err" || {
    local code=$?
    cat "$work/$name.out" "$work/$name.err"
    return "$code"
  }
  # One process speaks.
  [[ "$(grep -c '^step=' "$work/$name.out")" == 6 ]] || { cat "$work/$name.out" && return 1; }
  grep -q 'mpi backend' "$work/$name.out"
}

json_under_mpirun() {
  timeout 200 "$here/../support/mpirun.sh" 2 "$binary" train "$run_file" run.dir="$work/runs/mpijson" parallel.data=2 \
    --format json >"$work/mpijson.out" 2>"$work/mpijson.err" || { cat "$work/mpijson.err" && return 1; }
  python3 -c 'import json, sys; summary = json.load(open(sys.argv[1])); assert summary["ranks"] == 2, summary' \
    "$work/mpijson.out"
}

# The ids of a process's children.
children() {
  awk -v parent="$1" '$1 == "PPid:" && $2 == parent { split(FILENAME, part, "/"); print part[3] }' \
    /proc/[0-9]*/status 2>/dev/null || true
}

# How many of these processes still run; one that only waits for its parent to take note has ended.
running() {
  local id count=0
  for id in "$@"; do
    if grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$id/status"; then count=$((count + 1)); fi
  done
  echo "$count"
}

# Kills one rank of a long run: the others must not wait for it.
killed_rank_ends_the_job() {
  local job mpirun='' ranks=() code=0 began i
  "$here/../support/mpirun.sh" 4 "$binary" train "$run_file" run.dir="$work/runs/killed" train.steps=1000000 \
    evaluate.batches=0 parallel.data=2 parallel.tensor=2 >"$work/killed.out" 2>"$work/killed.err" &
  job=$!
  for ((i = 0; i < 600; i++)); do
    [[ -s "$work/runs/killed/metrics.jsonl" ]] && break
    kill -0 "$job" 2>/dev/null || { cat "$work/killed.err" && echo "the run ended by itself" && return 1; }
    sleep 0.1
  done
  mpirun=$(children "$job" | head -n 1)
  mapfile -t ranks < <(children "$mpirun")
  if ((${#ranks[@]} != 4)); then
    echo "found ${#ranks[@]} ranks below mpirun $mpirun: ${ranks[*]}"
    kill "$mpirun" 2>/dev/null || true
    wait "$job" || true
    return 1
  fi
  began=$SECONDS
  kill -9 "${ranks[2]}"
  while (($(running "$job" "${ranks[@]}") > 0 && SECONDS - began < 20)); do sleep 0.1; done
  if (($(running "$job" "${ranks[@]}") > 0)); then
    echo "20 s after a rank was killed there still run: $(running "$job") jobs, $(running "${ranks[@]}") ranks"
    kill -9 "${ranks[@]}" "$mpirun" 2>/dev/null || true
    wait "$job" || true
    return 1
  fi
  wait "$job" || code=$?
  ((code != 0)) || { echo "the job says that all is well" && return 1; }
}

# compare NP NAME KEY=VALUE...: threads, then processes; then both curves.
compare() {
  local np=$1 name=$2
  shift 2
  check "$np threads: $*" train "$name-threads" "$@"
  check "$np processes: $*" under_mpirun "$np" "$name-mpi" "$@"
  check "the same losses on both: $*" close "$name-threads" "$name-mpi" 1e-12
  check "the same samples on both: $*" diff "$work/runs/$name-threads/samples.txt" "$work/runs/$name-mpi/samples.txt"
}

compare 4 dt parallel.data=2 parallel.tensor=2 parallel.zero=1
compare 4 ps parallel.pipeline=2 parallel.sequence=2
compare 8 dtp parallel.data=2 parallel.tensor=2 parallel.pipeline=2 parallel.tensor_sequence=true parallel.zero=1
compare 4 zero3 parallel.data=2 parallel.tensor=2 parallel.zero=3 zero.offload.optimizer=nvme memory.recompute=full
check "ZeRO 3: threads and processes give the same bits" same zero3-threads zero3-mpi
check "8 processes again" under_mpirun 8 dtp-mpi2 parallel.data=2 parallel.tensor=2 parallel.pipeline=2 \
  parallel.tensor_sequence=true parallel.zero=1
check "the same command gives the same bits" same dtp-mpi dtp-mpi2
check "--format json prints JSON alone" json_under_mpirun
check "a killed rank ends the job within 20 s" killed_rank_ends_the_job
finish
