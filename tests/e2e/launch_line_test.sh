#!/usr/bin/env bash
# `orthant launch --dry-run` in recorded environments, and `orthant submit` through an imitated PBS to a finished run.
#   launch_line_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
home="$(cd "$here/../.." && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which compares the runs, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"
# Root in a container: OpenMPI wants to be told, and its single-copy transfer wants ptrace.
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
unset OMP_NUM_THREADS SLURM_JOB_ID SLURM_JOB_NODELIST PBS_JOBID PBS_NODEFILE ORTHANT_HOSTFILE ORTHANT_CLUSTER
mkdir "$work/bin" "$work/job"
ln -s "$home/launch" "$home/configs" "$work/job/" # beside the run, as in a source tree

# program NAME TEXT: one on PATH that prints this, whatever it is asked.
program() { printf '#!/bin/sh\ncat <<"END"\n%s\nEND\n' "$2" >"$work/bin/$1" && chmod +x "$work/bin/$1"; }

# two_devices: a cluster's file, so that lines do not depend on this machine's cores.
cat >"$work/two.yaml" <<'END'
cluster: {name: two, tried: true}
node: {gpus: 2, gpu: Test GPU, cores: 8, device_cores: ["4-7", "0-3"]}
launch: {environment: ["NCCL_SOCKET_IFNAME=hsn0"]}
END
printf 'a\na\nb\nb\n' >"$work/pbs.nodes"
printf 'n1 slots=2\nn2 slots=2\n' >"$work/hosts"

# line EXPECTED VARIABLES... -- OPTIONS...: the line of a dry run of the tiny run on 4 ranks, where only the test's own
# programs and these variables are to be seen.
line() {
  local expected=$1 printed
  shift
  local -a variables=()
  while [[ "$1" != -- ]]; do variables+=("$1") && shift; done
  shift
  printed=$(env -i "${variables[@]}" PATH="$work/bin:/bin" "$binary" launch --dry-run "$@" -- train \
    "$run_file" parallel.data=4 | sed -n 's/^runs *//p') || return 1
  diff <(echo "${expected:+$expected }$binary train $run_file parallel.data=4") <(echo "$printed")
}

# json FIELD VALUE VARIABLES... -- OPTIONS...: a fact of the same, as JSON.
json() {
  local field=$1 value=$2
  shift 2
  local -a variables=()
  while [[ "$1" != -- ]]; do variables+=("$1") && shift; done
  shift
  env -i "${variables[@]}" PATH="$work/bin:/bin" "$binary" launch --dry-run --format json "$@" -- train "$run_file" \
    parallel.data=4 >"$work/facts.json" || return 1
  python3 -c 'import json, sys; value = json.load(open(sys.argv[1]))[sys.argv[2]]; print(value); sys.exit(value != json.loads(sys.argv[3]))' \
    "$work/facts.json" "$field" "$value"
}

# fails CODE TEXT ORTHANT'S WORDS...: with this exit code, and this text on stderr once.
fails() {
  local wanted=$1 text=$2 code=0
  shift 2
  (cd "$work/job" && "$binary" "$@") >"$work/out" 2>"$work/err" || code=$?
  ((code == wanted)) && [[ $(PATH=/bin:/usr/bin grep -cF -- "$text" "$work/err") == 1 ]] && return 0
  echo "exit code $code" && cat "$work/err" && return 1
}

no_scheduler() { local PATH="$work/bin" text=$1 && export PATH && fails 3 "$text" submit "$run_file" --nodes 1 --time 10 "${@:2}"; }

program srun $'MPI plugin types are...\n\tpmix'
program mpirun 'mpirun (Open MPI) 4.1.4'
program mpiexec 'mpiexec (OpenRTE) 4.1.4'
slurm=(SLURM_JOB_ID=7 'SLURM_JOB_NODELIST=n[01-02]')
pbs=(PBS_JOBID=9.x PBS_NODEFILE="$work/pbs.nodes")
two=(--cluster "$work/two.yaml" --device gpu)

check "SLURM" line "srun --nodes=2 --ntasks=4 --ntasks-per-node=2 --distribution=block --mpi=pmix --cpu-bind=mask_cpu:0xf0,0xf --export=ALL --label" \
  "${slurm[@]}" -- "${two[@]}"
check "SLURM: world size" json world_size 4 "${slurm[@]}" -- "${two[@]}"
check "SLURM: hosts" json hosts '["n01", "n02"]' "${slurm[@]}" -- "${two[@]}"
check "SLURM: the environment" json environment '{"OMP_NUM_THREADS": "4", "NCCL_SOCKET_IFNAME": "hsn0"}' "${slurm[@]}" -- "${two[@]}"
check "SLURM with mpirun" line "mpirun -n 4 --host n01:2,n02:2 --rankfile RANKFILE --tag-output -x NCCL_SOCKET_IFNAME -x OMP_NUM_THREADS -x ORTHANT_ATTEMPT -x PATH" \
  "${slurm[@]}" -- "${two[@]}" --launcher openmpi
check "PBS with OpenMPI" line "mpirun -n 4 --host a:2,b:2 --rankfile RANKFILE --tag-output -x NCCL_SOCKET_IFNAME -x OMP_NUM_THREADS -x ORTHANT_ATTEMPT -x PATH" \
  "${pbs[@]}" -- "${two[@]}"
check "a host file" line "mpirun -n 4 --host n1:2,n2:2 --map-by ppr:2:node:OVERSUBSCRIBE --bind-to none --mca mpi_yield_when_idle 1 --tag-output -x OMP_NUM_THREADS -x ORTHANT_ATTEMPT -x PATH --mca plm_rsh_agent x" \
  X=1 -- --hostfile "$work/hosts" --no-bind --launcher-args '--mca plm_rsh_agent x'
check "a laptop" line "" X=1 -- --device cpu
check "a laptop: the backend" json backend '"local"' X=1 -- --device cpu
program mpiexec 'PALS mpiexec 1.2.12'
check "PBS with PALS" line "mpiexec -n 4 --ppn 2 --hostfile $work/pbs.nodes --cpu-bind=list:4-7:0-3 --label" "${pbs[@]}" -- "${two[@]}"
check "PBS: the scheduler" json scheduler '"pbs"' "${pbs[@]}" -- "${two[@]}"

check "a host file that is not there" fails 2 "--hostfile: $work/gone" launch --hostfile "$work/gone" -- train "$run_file"
: >"$work/empty"
check "an empty host file" fails 2 "holds no host" launch --hostfile "$work/empty" -- train "$run_file"
check "an unknown scheduler" fails 2 "--scheduler" launch --scheduler lsf -- train "$run_file"
check "an unknown cluster" fails 2 "did you mean polaris?" launch --cluster polarsi -- train "$run_file"
check "too few hosts" fails 2 "not enough hosts: 8 ranks with 2 a host (slots of the host file) need 4 hosts, and there are 2 hosts" \
  launch --hostfile "$work/hosts" -- train "$run_file" parallel.data=8
check "ranks that do not divide" fails 2 "do not divide over hosts with 3 each" \
  launch --hostfile "$work/hosts" --ranks-per-host 3 -- train "$run_file" parallel.data=8
check "no allocation" fails 3 "SLURM_JOB_NODELIST is not set" launch --scheduler slurm -- train "$run_file"
check "no scheduler to submit to" no_scheduler "neither sbatch nor qsub is on PATH"
check "no sbatch" no_scheduler "sbatch is not on PATH; $work/job/tiny.sbatch is written" --scheduler slurm
check "a queue that does not take it" fails 2 "queue debug takes 1 to 2 nodes, not 3" \
  submit "$run_file" --cluster polaris --queue debug --nodes 3 --time 10 --ranks-per-host 1 parallel.data=3 train.global_batch=9

# submitted NAME CODE OPTIONS... -- KEY=VALUE...: a run in $work/runs/NAME, submitted to the imitated PBS from $work/job;
# the job must end with this exit code.
submitted() {
  local name=$1 wanted=$2 number began=$SECONDS
  shift 2
  local -a options=()
  while [[ "$1" != -- ]]; do options+=("$1") && shift; done
  shift
  export FAKE_PBS_DIR="$work"
  (cd "$work/job" && PATH="$work/pbs:$PATH" "$binary" submit "$run_file" --scheduler pbs --name "$name" --format json \
    "${options[@]}" run.dir="$work/runs/$name" "$@") >"$work/submit.json" || return 1
  number=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["job"])' "$work/submit.json")
  number=${number%.fake}
  job_out="$work/$number.out"
  while [[ ! -e "$work/$number.code" ]]; do
    ((SECONDS - began < 200)) || { echo "job $number does not end" && cat "$job_out" && return 1; }
    sleep 0.1
  done
  [[ $(<"$work/$number.code") == "$wanted" ]] || { echo "exit code $(<"$work/$number.code")" && cat "$job_out" && return 1; }
}

# More nodes than the imitated PBS has: what qsub says is said, and the exit code is 3.
refused() {
  local FAKE_PBS_DIR="$work" FAKE_PBS_HOSTS=one PATH="$work/pbs:$PATH"
  export FAKE_PBS_DIR FAKE_PBS_HOSTS PATH
  fails 3 "ended with 188: qsub: Job exceeds queue" submit "$run_file" --scheduler pbs --nodes 2 --time 10 "${mesh[@]}"
}

mkdir "$work/pbs"
ln -s "$home/tests/support/fake_qsub.sh" "$work/pbs/qsub"
# Rank 0's lines as they are, those of rank 1 with its label, and no line of one lost.
labelled() {
  "$binary" launch --ranks 2 -- config show "$run_file" >"$work/labelled.out" 2>"$work/labelled.err" || return 1
  "$binary" config show "$run_file" >"$work/alone.out"
  diff <(grep -v '^\[rank ' "$work/labelled.out") "$work/alone.out" &&
    diff <(sed -n "s/^\[rank 1 $(hostname)\] //p" "$work/labelled.out") "$work/alone.out"
}

idle() {
  local code=0 began=$SECONDS
  "$binary" launch --idle-timeout 1 -- sh -c 'trap "echo saved; exit 7" USR1; while :; do sleep 0.1; done' >"$work/idle.out" \
    2>"$work/idle.err" || code=$?
  ((code == 4 && SECONDS - began < 60)) && grep -q saved "$work/idle.out" && grep -q 'did nothing for 1.0 s' "$work/idle.err"
}

# lost_host KEY=VALUE...: three hosts, of which the run uses two; the daemon of the second one dies in mid-run.
lost_host() {
  local code=0 began=$SECONDS supervisor status
  local -a children
  printf 'lost1\nlost2\nlost3\n' >"$work/three"
  # shellcheck disable=SC2016
  unshare --uts sh -c 'hostname lost1 && exec "$0" "$@"' "$binary" launch --hostfile "$work/three" --spare-hosts 1 \
    --restarts 1 --backoff 0.05 --launcher-args "$agent" -- train "$run_file" run.dir="$work/runs/lost" "$@" \
    checkpoint.every=2 checkpoint.asynchronous=false 'fault.inject=["sleep rank=0 step=5 phase=forward seconds=100"]' \
    >"$work/lost.out" 2>"$work/lost.err" &
  supervisor=$!
  until [[ -e "$work/runs/lost/checkpoints/step_00000002" ]]; do
    if ((SECONDS - began > 200)) || ! kill -0 "$supervisor"; then
      cat "$work/lost.err"
      kill -TERM "$supervisor"
      return 1
    fi
    sleep 0.1
  done
  mapfile -t children < <(grep -ls "^PPid:[[:space:]]*$supervisor\$" /proc/[0-9]*/status)
  for status in "${children[@]}"; do
    if grep -q '^Name:[[:space:]]*orted' "$status"; then kill -9 "$(cut -d/ -f3 <<<"$status")"; fi
  done
  wait "$supervisor" || code=$?
  ((code == 0)) && grep -q 'launch: lost: lost2; in its place: lost3' "$work/lost.err" && return 0
  echo "exit code $code" && cat "$work/lost.err" && return 1
}

check "an idle command is told to save" idle
mesh=(parallel.data=2 parallel.tensor=2)
if command -v mpirun >/dev/null; then
  check "output is labelled" labelled
  check "the run on threads" train calm "${mesh[@]}"
  check "PBS: submitted, and run to its end by mpirun" submitted pbs 0 --nodes 1 --time 10 -- "${mesh[@]}"
  check "... with the line and the facts" grep -q '^scheduler *pbs, job 1.fake' "$work/1.out"
  check "... to the same curve" close calm pbs 1e-9
  check "PBS: qsub's refusal is told" refused
  if ((EUID == 0)) && unshare --uts true 2>/dev/null; then
    export FAKE_PBS_HOSTS="pbs1 pbs2"
    agent="--mca plm_rsh_agent $home/tests/support/fake_ssh.sh --mca plm_rsh_no_tree_spawn 1 --mca btl_tcp_if_include lo --mca oob_tcp_if_include lo"
    check "PBS on two hosts" submitted pbs2 0 --nodes 2 --time 10 --launch-args "--launcher-args '$agent'" -- "${mesh[@]}"
    check "... each with half of the ranks" grep -q -- '--host pbs1:2,pbs2:2 ' "$work/2.out"
    check "... to the same curve" close calm pbs2 1e-9
    check "a lost host is replaced by a spare one" lost_host "${mesh[@]}"
    check "... and the curve is the undisturbed one" close calm lost 1e-9
  else
    skip "PBS on two hosts, and a lost one" "hosts with names of their own need root"
  fi
else
  skip "PBS" "mpirun is not on PATH"
fi
finish
