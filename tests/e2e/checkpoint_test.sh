#!/usr/bin/env bash
# Saves and resumes as a user does: to the bit on the same mesh, to rounding on others, after stops, signals and damage.
#   checkpoint_test.sh BUILD_DIR ORTHANT_BINARY
set -euo pipefail
build=$1
binary=$(realpath "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/cases.sh"
. "$here/tiny_run.sh"

# Every second step is saved, and all saves are kept.
sed -i '$a checkpoint: {every: 2, keep_last: 100}' "$run_file"
runs=$work/runs

# stopped NAME KEY=VALUE...: six steps in three starts.
stopped() {
  local name=$1
  shift
  train "$name" "$@" train.stop_at=2 && train "$name" "$@" train.stop_at=3 && train "$name" "$@"
}

same_run() {
  same "$1" "$2" && diff "$runs/$1/samples.txt" "$runs/$2/samples.txt" && identical "$1" "$2"
}

# identical NAME NAME: the last checkpoints hold the same tensors to the bit.
identical() { "$binary" checkpoint diff "$runs/$1" "$runs/$2" --exit-code; }

# fails CODE PATTERN NAME KEY=VALUE...: that exit code, and one message that matches.
fails() {
  local expected=$1 pattern=$2 name=$3 code=0
  shift 3
  train "$name" "$@" >"$work/fails.txt" || code=$?
  if [[ "$code" != "$expected" || "$(grep -c '^error: ' "$work/$name.err")" != 1 ]] ||
    ! grep -q -- "$pattern" "$work/$name.err"; then
    echo "exit code $code" && cat "$work/$name.err" && return 1
  fi
}

steps_of() { (cd "$runs/$1/checkpoints" && echo step_*); }
holds() { [[ "$(steps_of "$1")" == "$2" ]] || { steps_of "$1" && return 1; }; }
says() { grep -q -- "$2" "$work/$1.out" || { cat "$work/$1.out" && return 1; }; }

check "never stopped" train whole
check "its checkpoints" holds whole "step_00000002 step_00000004 step_00000006"
check "they are whole" "$binary" checkpoint verify "$runs/whole"
check "stopped twice" stopped halves
check "the same to the bit" same_run whole halves
check "a finished run has nothing to do" train whole
check "and says so" says whole 'no steps: the run was at step 6 of 6 already'
check "and its curve stays" same whole halves

meshes=("parallel.data=2 parallel.tensor=2 parallel.pipeline=2" "parallel.data=2 parallel.zero=1 train.dtype=fp32"
  "parallel.data=2 parallel.zero=2 parallel.sequence=2 train.dtype=bf16" "parallel.data=4 parallel.zero=3 train.dtype=fp32"
  "parallel.data=2 parallel.zero=3 parallel.pipeline=3 zero.offload.optimizer=nvme zero.offload.parameters=nvme"
  "parallel.data=2 parallel.zero=2 train.dtype=fp16 train.loss_scale.initial=1099511627776 train.loss_scale.hysteresis=1"
  "parallel.tensor=2 parallel.tensor_sequence=true parallel.data=2 checkpoint.writers=1 checkpoint.asynchronous=false"
  "parallel.data=4 parallel.zero=3 zero.shard_ranks=2 zero.bucket_bytes=2KiB zero.tile_bytes=1KiB checkpoint.writers=3")
for i in "${!meshes[@]}"; do
  read -r -a keys <<<"${meshes[i]}"
  check "${meshes[i]}" train "whole$i" "${keys[@]}"
  check "stopped twice" stopped "halves$i" "${keys[@]}"
  check "the same to the bit" same_run "whole$i" "halves$i"
done

other_meshes() {
  train "$1" parallel.data=4 parallel.zero=3 train.stop_at=2 &&
    train "$1" parallel.tensor=2 parallel.sequence=2 parallel.pipeline=3 parallel.zero=1 train.stop_at=4 &&
    train "$1" parallel.data=2 parallel.sequence=2 parallel.zero=2 parallel.schedule=gpipe
}
check "each start on another mesh" other_meshes meshes
check "the same curve" close whole meshes 1e-9
check "the same samples" diff "$runs/whole/samples.txt" "$runs/meshes/samples.txt"

if command -v mpirun >/dev/null; then
  if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
  export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none} OMP_NUM_THREADS=1
  mpi() {
    timeout 120 mpirun -n 4 --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 "$binary" train "$run_file" \
      run.dir="$runs/$1" "${@:2}"
  }
  backends() {
    mpi "$1" parallel.data=2 parallel.tensor=2 train.stop_at=3 && train "$1" parallel.data=2 parallel.tensor=2
  }
  check "processes, then threads" backends backends
  check "threads, start to end" train threads parallel.data=2 parallel.tensor=2
  check "the same to the bit on both backends" same_run threads backends
else
  skip "processes, then threads" "there is no mpirun"
fi

# A signal: the step under way is finished and saved.
signalled() {
  local signal=$1 name=$2 code=0 child
  shift 2
  "$binary" train "$run_file" run.dir="$runs/$name" train.steps=100000 evaluate.batches=0 log.every=100000 "$@" \
    >"$work/$name.out" 2>"$work/$name.err" &
  child=$!
  while [[ ! -s "$runs/$name/metrics.jsonl" ]]; do sleep 0.05; done
  sleep 0.3
  kill -s "$signal" "$child"
  wait "$child" || code=$?
  if [[ "$code" != 7 ]] || ! grep -q "^error: stopped by SIG$signal after step [0-9]*; the training state is saved in" \
    "$work/$name.err"; then
    echo "exit code $code" && cat "$work/$name.err" && return 1
  fi
  local last saved
  last=$(tail -n 1 "$runs/$name/metrics.jsonl" | sed 's/.*"step":\([0-9]*\).*/\1/')
  saved=$(cat "$runs/$name/checkpoints/latest")
  [[ "$saved" == "$(printf 'step_%08d' "$last")" ]] || { echo "step $last, saved $saved" && return 1; }
}
goes_on_after_signal() {
  local last more
  last=$(sed 's/step_0*//' "$runs/$1/checkpoints/latest")
  more=$((last + 3))
  train "$1" train.steps=100000 evaluate.batches=0 log.every=100000 parallel.data=2 train.stop_at="$more" &&
    [[ "$(wc -l <"$runs/$1/metrics.jsonl")" == "$more" ]]
}
check "SIGTERM saves and ends with 7" signalled TERM term parallel.data=2 checkpoint.every=0
check "the run goes on after it" goes_on_after_signal term
check "SIGUSR1 saves and ends with 7" signalled USR1 usr1 parallel.data=2 checkpoint.every=0 checkpoint.asynchronous=false

check "keep_last, keep_every" train keep checkpoint.every=1 checkpoint.keep_last=1 checkpoint.keep_every=2
check "what is kept" holds keep "step_00000002 step_00000004 step_00000006"
check "no save but the last" train last checkpoint.every=0
check "is what is there" holds last "step_00000006"
check "no steps: the first state is saved" train none train.steps=0
check "as step 0" holds none "step_00000000"
check "saves by time" train timed checkpoint.every=0 checkpoint.every_minutes=0.00001 checkpoint.at_end=false checkpoint.keep_last=10
check "came to saves before the end" compgen -G "$runs/timed/checkpoints/step_0000000[1-5]"

check "another run's parameters" train tuned init.from="$runs/whole" train.steps=3
check "it says whose they are" says tuned 'the parameters are those of .*/whole/checkpoints/step_00000006'
lower_loss() {
  python3 - "$runs" <<'END'
import json, sys
first = lambda name: json.loads(open(f"{sys.argv[1]}/{name}/metrics.jsonl").readline())["loss"]
assert first("tuned") < first("whole"), (first("tuned"), first("whole"))
END
}
check "and begins where that one ended" lower_loss
check "parameters alone" train alone checkpoint.content=parameters train.stop_at=4
check "no run goes on from them" fails 5 'holds parameters alone' alone
check "a new one begins with them" train tuned2 init.from="$runs/alone" train.steps=1
check "init.from that is not there" fails 5 'init.from = .*/nowhere' tuned3 init.from="$work/nowhere"

# Damage.
spoil() { # FILE: one bit, in the middle
  python3 - "$1" <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 4
open(sys.argv[1], "wb").write(data)
END
}
prepare_damage() { rm -rf "$runs/hurt" && train hurt train.stop_at=4; }
recovers() { # after the last checkpoint has been hurt
  train hurt && says hurt 'the run goes on after step 2' && says hurt "passed over: $1" && same_run whole hurt
}
check "a run to be hurt" prepare_damage
spoil "$runs/hurt/checkpoints/step_00000004/shard_00000_of_00001.safetensors"
verify_names_it() {
  local code=0
  "$binary" checkpoint verify "$runs/hurt/checkpoints/step_00000004" >"$work/verify.txt" 2>&1 || code=$?
  if [[ "$code" != 5 ]] || ! grep -q 'shard_00000_of_00001' "$work/verify.txt" ||
    ! grep -q 'step_00000002' "$work/verify.txt"; then
    cat "$work/verify.txt" && return 1
  fi
}
check "verify names the tensor and the step that is whole" verify_names_it
check "a flipped bit: an earlier checkpoint serves" recovers '.*shard_00000_of_00001'
check "again" prepare_damage
spoil "$runs/hurt/checkpoints/step_00000004/manifest.json"
check "a hurt manifest: an earlier checkpoint serves" recovers '.*step_00000004/manifest.json'
check "again" prepare_damage
rm "$runs/hurt/checkpoints/step_00000004/"*.safetensors
check "a missing shard: an earlier checkpoint serves" recovers '.*shard_00000_of_00001'
check "again" prepare_damage
check "a step that was asked for and is not there" fails 5 'step_00000003' hurt checkpoint.resume=3
for step in 2 4; do spoil "$runs/hurt/checkpoints/step_0000000$step/manifest.json"; done
check "none is whole" fails 5 'no checkpoint in .* is whole' hurt
check "the run starts again" train hurt checkpoint.resume=never
check "to the same end" same whole hurt
check "an earlier step" train earlier
check "on request" train earlier checkpoint.resume=2
check "to the same end" same_run whole earlier
check "the later ones were kept aside" test -d "$runs/earlier/checkpoints/step_00000006.old" -o -d \
  "$runs/earlier/checkpoints/step_00000004.old"
newer() {
  sed -i 's/"format": 1,/"format": 99,/' "$runs/earlier/checkpoints/step_00000006/manifest.json"
  fails 5 '99' earlier && [[ -d "$runs/earlier/checkpoints/step_00000006" ]]
}
check "a newer program's checkpoint is left alone" newer

# Losses that are no numbers, or jump.
check "non-finite: stop" fails 6 'step 5: loss .*nan' nan_stop "fault.inject=['nan step=5 phase=forward']"
check "non-finite: skip" train nan_skip anomaly.non_finite=skip "fault.inject=['nan step=5 phase=forward']"
skipped_is_told() {
  python3 - "$runs/$1" "$2" "$3" "$4" <<'END'
import json, sys
folder, step, first, batches = sys.argv[1], *map(int, sys.argv[2:])
ledger = [json.loads(line) for line in open(f"{folder}/skipped.jsonl")]
assert [(entry["step"], entry["first_batch"], entry["batches"]) for entry in ledger] == [(step, first, batches)], ledger
assert len(ledger[0]["samples"]) == 8 * batches and ledger[0]["reason"], ledger
lines = [json.loads(line) for line in open(f"{folder}/metrics.jsonl")]
assert [line["step"] for line in lines] == list(range(1, 7)), lines
END
}
check "the ledger has its samples" skipped_is_told nan_skip 5 4 1
check "non-finite: rollback" train nan_back anomaly.non_finite=rollback anomaly.rollback_steps=2 \
  "fault.inject=['nan step=5 phase=forward']"
check "the ledger has the samples since the checkpoint" skipped_is_told nan_back 5 2 3
check "rollback without a checkpoint" fails 6 'there is no checkpoint to roll back to' nan_none anomaly.non_finite=rollback \
  checkpoint.every=0 "fault.inject=['nan step=3 phase=forward']"
check "a jump: skip" train spike anomaly.spike=skip anomaly.spike_window=3 "fault.inject=['spike step=5 phase=forward']"
check "the ledger has it" skipped_is_told spike 5 4 1
check "a jump: stop" fails 6 'where the median of the steps before is' spike_stop anomaly.spike=stop anomaly.spike_window=3 \
  "fault.inject=['spike step=5 phase=forward']"
resumed_rollback() {
  train nan_two anomaly.non_finite=rollback anomaly.rollback_steps=2 "fault.inject=['nan step=5 phase=forward']" \
    train.stop_at=5 && train nan_two anomaly.non_finite=rollback anomaly.rollback_steps=2
}
check "a rollback, then a stop" resumed_rollback
check "the data goes on behind it all the same" same_run nan_back nan_two

check "rollback wants whole checkpoints" fails 2 'rollback needs checkpoint.content = all' nan_content \
  anomaly.non_finite=rollback checkpoint.content=parameters
half_type() {
  train half train.stop_at=2 && train half train.dtype=fp16 train.loss_scale.initial=256 &&
    says half ' loss_scale=256'
}
check "fp16 goes on from another type with a scale of its own" half_type
check "replicas agree without tied embeddings" train untied train.check_replicas=1 parallel.pipeline=2 \
  model.tie_embeddings=false
check "replicas agree" train replicas train.check_replicas=2 parallel.data=2 parallel.tensor=2 parallel.zero=1
for mesh in "parallel.data=2" "parallel.data=2 parallel.zero=1" "parallel.sequence=2 parallel.zero=2"; do
  read -r -a keys <<<"$mesh"
  check "drift is found with $mesh" fails 6 'step 3: parameter .* differs between ranks 0 and 1' drift "${keys[@]}" \
    train.check_replicas=1 "fault.inject=['drift rank=1 step=3 phase=reduce']" checkpoint.resume=never
done

# A disk that is full while a checkpoint is written.
mkdir "$work/disk"
if mount -t tmpfs -o size=300k none "$work/disk" 2>/dev/null; then
  full() {
    ln -sfn "$work/disk" "$runs/full/checkpoints"
    local code=0
    train full model.hidden=32 >"$work/full.txt" || code=$?
    if [[ "$code" != 3 ]] || ! grep -q 'was not saved, .*No space left.*; training goes on' "$work/full.out"; then
      echo "exit code $code" && cat "$work/full.out" "$work/full.err" && return 1
    fi
  }
  train full model.hidden=32 train.stop_at=1 >"$work/full.txt"
  rm -rf "$runs/full/checkpoints"
  check "a full disk: training goes on to its end, and the end tells" full
  umount "$work/disk"
else
  skip "a full disk" "this user may not mount one"
fi

two_at_once() {
  local code=0 child
  "$binary" train "$run_file" run.dir="$runs/twice" train.steps=100000 evaluate.batches=0 log.every=100000 \
    >"$work/first.out" 2>&1 &
  child=$!
  while [[ ! -s "$runs/twice/metrics.jsonl" ]]; do sleep 0.05; done
  train twice train.steps=100000 evaluate.batches=0 >"$work/fails.txt" || code=$?
  kill "$child"
  wait "$child" || true
  if [[ "$code" != 2 ]] || ! grep -q "is in use by process $child on " "$work/twice.err"; then
    echo "exit code $code" && cat "$work/twice.err" && return 1
  fi
}
check "two runs in one folder" two_at_once
finish
