#!/usr/bin/env bash
# `orthant launch`: runs that are killed go on to the curve of an undisturbed one, and what cannot be healed ends.
#   launch_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which compares the runs, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"
# Root in a container: OpenMPI wants to be told, and its single-copy transfer wants ptrace.
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
export OMP_NUM_THREADS=1

saves=(checkpoint.every=2 checkpoint.asynchronous=false)

# launched CODE NAME OPTIONS KEY=VALUE...: a supervised run in $work/runs/NAME that must end with this exit code.
launched() {
  local wanted=$1 name=$2 options=$3 code=0
  shift 3
  # shellcheck disable=SC2086
  timeout 200 "$binary" launch --backoff 0.05 $options -- train "$run_file" run.dir="$work/runs/$name" \
    "${saves[@]}" "$@" >"$work/$name.out" 2>"$work/$name.err" || code=$?
  if ((code != wanted)); then
    echo "exit code $code, expected $wanted"
    cat "$work/$name.err"
    return 1
  fi
}

# log_has NAME TEXT...: the run's launch.log has these texts, in this order, one a line; stderr says the same.
log_has() {
  local name=$1 log="$work/runs/$1/launch.log"
  shift
  grep -o 'launch: .*' "$work/$name.err" | sed 's/^launch: //' >"$work/told"
  diff "$work/told" <(sed 's/^[^ ]* [^ ]* info //' "$log") || return 1
  if (($# != $(wc -l <"$log"))); then cat "$log" && return 1; fi
  local number=0 text
  for text in "$@"; do
    number=$((number + 1))
    sed -n "${number}p" "$log" | grep -qF -- "$text" || { echo "line $number: no '$text'" && cat "$log" && return 1; }
  done
}

# The ids of a process's children.
children() {
  awk -v parent="$1" '$1 == "PPid:" && $2 == parent { split(FILENAME, part, "/"); print part[3] }' \
    /proc/[0-9]*/status 2>/dev/null || true
}

# ends ID...: these processes end within 30 s; one that only waits for its parent to take note has ended.
ends() {
  local began=$SECONDS id
  for id in "$@"; do
    while grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$id/status"; do
      ((SECONDS - began < 30)) || { echo "process $id still runs" && return 1; }
      sleep 0.05
    done
  done
}

# endless NAME OPTIONS KEY=VALUE...: starts a long supervised run beside this script, and waits for its first step; the
# supervisor is `supervisor`, and `below` what runs below it.
endless() {
  local name=$1 options=$2 id
  shift 2
  # shellcheck disable=SC2086
  "$binary" launch --restarts 3 $options -- train "$run_file" run.dir="$work/runs/$name" "${saves[@]}" \
    checkpoint.every=0 train.steps=1000000 evaluate.batches=0 "$@" >"$work/$name.out" 2>"$work/$name.err" &
  supervisor=$!
  while [[ ! -s "$work/runs/$name/metrics.jsonl" ]]; do
    kill -0 "$supervisor" 2>/dev/null || { cat "$work/$name.err" && return 1; }
    sleep 0.05
  done
  mapfile -t below < <(children "$supervisor")
  for id in "${below[@]}"; do mapfile -t -O "${#below[@]}" below < <(children "$id"); done
  ((${#below[@]} > 0))
}

# stopped SIGNAL NAME OPTIONS KEY=VALUE...: the signal to the supervisor is a clean save and exit code 7 for all.
stopped() {
  local signal=$1 name=$2 code=0
  endless "${@:2}" || return 1
  kill -s "$signal" "$supervisor"
  wait "$supervisor" || code=$?
  ends "${below[@]}" || return 1
  ((code == 7)) || { echo "exit code $code" && cat "$work/$name.err" && return 1; }
  grep -q "SIG$signal was passed on to it" "$work/runs/$name/launch.log" || { cat "$work/$name.err" && return 1; }
  [[ -s "$work/runs/$name/checkpoints/latest" ]]
}

# A supervisor that dies takes everything below it along.
killed_supervisor() {
  endless "$@" || return 1
  kill -9 "$supervisor"
  wait "$supervisor" 2>/dev/null || true
  ends "${below[@]}"
}

# any_program CODE RUNS SCRIPT: a shell script under three restarts, how often it ran, and how it ended.
any_program() {
  local code=0
  rm -f "$work/ran"
  (cd "$work" && "$binary" launch --restarts 3 --backoff 0.01 -- sh -c "echo x >>ran; $3") || code=$?
  ((code == $1 && $(wc -l <"$work/ran") == $2)) || { echo "exit code $code" && cat "$work/ran" && return 1; }
}

kill_twice='fault.inject=["kill rank=0 step=4 phase=backward", "kill rank=0 step=6 phase=optimizer attempt=1"]'
kill_again='fault.inject=["kill rank=0 step=4 phase=backward", "kill rank=0 step=4 phase=backward attempt=1"]'
kill_once='fault.inject=["kill rank=1 step=4 phase=backward"]'
kill_early='fault.inject=["kill rank=1 step=2 phase=forward"]'

check "any program: a good end" any_program 0 1 'exit 0'
check "any program: what cannot be healed" any_program 2 1 'exit 2'
# shellcheck disable=SC2016
check "any program: healed" any_program 0 3 '[ $ORTHANT_ATTEMPT = 2 ] || exit 4'
check "any program: never healed" any_program 137 4 'kill -9 $$'

check "a mistake ends at once" launched 2 mistake "--restarts 3" model.heads=3
check "... and leaves no folder behind" test ! -e "$work/runs/mistake"

check "undisturbed" train calm "${saves[@]}" parallel.data=2
check "killed twice" launched 0 twice "--restarts 3" parallel.data=2 "$kill_twice"
check "... has the undisturbed curve to the bit" same calm twice
check "... and says what happened" log_has twice "runs $binary train" \
  "SIGKILL, at step 3; restart 1 of 3 in 50 ms, from the checkpoint of step 2" \
  "SIGKILL, at step 5; restart 2 of 3 in 100 ms, from the checkpoint of step 4" "attempt 2 is done"
check "killed before the first save" launched 0 early "--restarts 1" parallel.data=2 "$kill_early"
check "... has the undisturbed curve to the bit" same calm early
check "... and says what happened" log_has early "runs " ", from the beginning" "attempt 1 is done"
check "killed at the same step again" launched 137 again "--restarts 9" parallel.data=2 "$kill_again"
check "... is told" log_has again "runs " "from the checkpoint of step 2" \
  "stopped: it failed at the same step as attempt 0, which ended with SIGKILL"
check "... and goes on by hand" train again "${saves[@]}" parallel.data=2
check "... to the undisturbed curve" same calm again
check "elastic: fewer ranks after the same step again" launched 0 elastic "--restarts 9 --elastic" parallel.data=2 \
  "$kill_again"
check "... has the undisturbed curve" close calm elastic 1e-9
check "... and says what happened" log_has elastic "runs " "restart 1 of 9" \
  "fewer ranks: 1 instead of 2 (parallel.data = 1 instead of 2); train.global_batch = 8" "restart 2 of 9" \
  "attempt 2 is done"
check "SIGTERM is a clean save" stopped TERM term "" parallel.data=2
check "SIGUSR1 is a clean save" stopped USR1 usr1 "" parallel.data=2
check "kill -9 of the supervisor ends the ranks" killed_supervisor orphan "" parallel.data=2

if command -v mpirun >/dev/null; then
  mesh=(parallel.data=2 parallel.tensor=2)
  check "mpi: one rank is killed" launched 0 mpi "--restarts 3 --ranks 4" "${mesh[@]}" "$kill_once"
  check "... and the curve is the undisturbed one" close calm mpi 1e-9
  check "mpi: a dead rank is a communication error" launched 4 dead "--ranks 4" "${mesh[@]}" "$kill_once"
  check "... with the verdict in the log" grep -q 'verdict: .*rank 1' "$work/runs/dead/launch.log"
  check "mpi: elastic" launched 0 mpielastic "--restarts 9 --elastic --ranks 4" "${mesh[@]}" "$kill_again"
  check "... has the undisturbed curve" close calm mpielastic 1e-9
  check "mpi: SIGTERM is a clean save" stopped TERM mpiterm "--ranks 2" parallel.data=2
  check "mpi: kill -9 of the supervisor ends the ranks" killed_supervisor mpiorphan "--ranks 2" parallel.data=2
else
  skip "mpi" "mpirun is not on PATH"
fi
finish
