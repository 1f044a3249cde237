#!/usr/bin/env bash
# What is checked on a machine with one GPU or several: smallest first, within ten minutes, no network. Build before:
#   launch/setup.sh --cuda && launch/build.sh cuda orthant gpu_tests -- -DORTHANT_TESTS=ON
#   tests/gpu/run.sh [--only NAME]        NAME: a word of the lines that it prints
# A line a check: ok, FAIL (with the end of its output) or "not run" with the reason. The last line is
# "N passed, N failed". Exit status: 0 all that ran passed, 1 something failed or nothing ran, 3 no build or no GPU.
set -Eeuo pipefail
# shellcheck source=../../launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"
cd "$ORTHANT_HOME"

ONLY='' STEP=()
case "${1:-}" in
  '') ;;
  --step) STEP=("${@:2}") ;; # by this script: one check, in a process that can be timed out
  --only) ONLY=${2:?--only wants a name} ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
  *) fail 2 "unknown option $1" "usage: tests/gpu/run.sh [--only NAME]" ;;
esac
BUILT="$ORTHANT_HOME/build/cuda"
ORTHANT="$BUILT/orthant" TESTS="$BUILT/tests/gpu_tests"
if ((${#STEP[@]})); then
  WORK=$GPU_TESTS_WORK
else
  WORK=$(mktemp -d)
  export GPU_TESTS_WORK=$WORK
  trap 'rm -rf "$WORK"' EXIT
fi
PASSED=0 FAILED=0
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}

[[ -x "$ORTHANT" && -x "$TESTS" ]] || fail 3 "build/cuda holds no orthant or no gpu_tests" \
  "launch/setup.sh --cuda && launch/build.sh cuda orthant gpu_tests -- -DORTHANT_TESTS=ON"
GPUS=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ' || true)
((GPUS > 0)) || fail 3 "nvidia-smi finds no GPU on this machine"
((${#STEP[@]})) || nvidia-smi -L

# check NAME SECONDS COMMAND...
check() {
  local name=$1 limit=$2 began=$SECONDS code=0
  shift 2
  [[ -z "$ONLY" || "$name" == *"$ONLY"* ]] || return 0
  timeout --kill-after=10 "$limit" "${BASH_SOURCE[0]}" --step "$@" >"$WORK/out" 2>&1 || code=$?
  if ((code == 0)); then
    printf 'ok       %-52s %s\n' "$name" "$(seconds $((SECONDS - began)))"
    PASSED=$((PASSED + 1))
  else
    printf 'FAIL     %-52s exit code %d\n' "$name" "$code"
    tail -n 25 "$WORK/out" | sed 's/^/         /'
    FAILED=$((FAILED + 1))
  fi
}
not_run() { [[ -n "$ONLY" && "$1" != *"$ONLY"* ]] || printf 'not run  %-52s %s\n' "$1" "$2"; }

cases() { "$TESTS" --gtest_brief=1 "--gtest_filter=$1"; }

cat >"$WORK/run.yaml" <<'YAML'
run: {name: tiny, seed: 1}
model: {layers: 4, heads: 8, hidden: 64, context: 64, bias: true, dropout: 0.1}
train: {steps: 6, global_batch: 16, micro_batch: 2, dtype: fp64}
optimizer: {warmup: 2}
data: {source: synthetic, synthetic_vocab: 61, synthetic_tokens: 20000}
evaluate: {batches: 1}
checkpoint: {at_end: false}
log: {peak_tflops: 1, every: 1}
YAML
train() { "$ORTHANT" train "$WORK/run.yaml" "$@"; }
ranks() { # N KEY=VALUE...: a process a GPU
  local n=$1
  shift
  mpirun --oversubscribe --bind-to none -n "$n" "$ORTHANT" train "$WORK/run.yaml" train.device=cuda comm.backend=nccl "$@"
}

# The curve of the processor, in fp64, against which all others are held.
reference() { [[ -e "$WORK/cpu/metrics.jsonl" ]] || train train.device=cpu run.dir="$WORK/cpu"; }
same_curve() { python3 tests/e2e/compare_metrics.py "$WORK/cpu/metrics.jsonl" "$1/metrics.jsonl" --tolerance "$2"; }
one_gpu() {
  reference
  train train.device=cuda run.dir="$WORK/gpu"
  same_curve "$WORK/gpu" 1e-9
}
mesh() { # N KEY=VALUE...
  reference
  rm -rf "$WORK/mesh"
  ranks "$@" run.dir="$WORK/mesh"
  same_curve "$WORK/mesh" 1e-9
}
# Stopped and gone on with, once from what GPUs saved and once on the processor.
resumed() {
  reference
  train train.device=cuda run.dir="$WORK/again" checkpoint.at_end=true train.stop_at=3
  cp -r "$WORK/again" "$WORK/elsewhere"
  train train.device=cuda run.dir="$WORK/again"
  same_curve "$WORK/again" 1e-9
  train train.device=cpu run.dir="$WORK/elsewhere"
  same_curve "$WORK/elsewhere" 1e-9
}
# Text of this repository: no network is needed. It learns it in bf16.
learns() {
  local first last
  [[ -e "$WORK/text/train.bin" ]] || {
    mkdir -p "$WORK/texts"
    cat docs/*.md README.md src/*/*.cpp >"$WORK/texts/all.txt"
    "$ORTHANT" data prepare --input "$WORK/texts/all.txt" --tokenizer byte --output "$WORK/text"
  }
  "$ORTHANT" train configs/shakespeare.yaml run.dir="$WORK/learns" data.path="$WORK/text" data.tokenizer=byte \
    parallel.data=1 parallel.tensor=1 parallel.pipeline=1 parallel.sequence=1 train.device=cuda train.dtype=bf16 \
    train.micro_batch=16 train.steps=400 evaluate.every=400 log.every=100 checkpoint.at_end=false
  first=$(sed -n '1s/.*"loss":\([0-9.]*\).*/\1/p' "$WORK/learns/metrics.jsonl")
  last=$(sed -n '$s/.*"val_loss":\([0-9.]*\).*/\1/p' "$WORK/learns/metrics.jsonl")
  echo "loss of step 1: $first; validation after 400: $last"
  awk -v a="$first" -v b="$last" 'BEGIN { exit !(b > 0 && b < 0.65 * a) }'
}
# GPT-2 124M: the rate and its share of the peak that was measured on the GPU, to be read, not asserted.
speed() {
  "$ORTHANT" train "$WORK/run.yaml" run.dir="$WORK/speed" train.device=cuda train.dtype=bf16 model.layers=12 model.heads=12 \
    model.hidden=768 model.context=1024 model.dropout=0.0 data.synthetic_vocab=50257 data.synthetic_tokens=2000000 \
    train.global_batch=16 train.micro_batch=8 train.steps=20 evaluate.batches=0 log.peak_tflops=0 | tee "$WORK/speed.txt"
  grep -E 'step=20 ' "$WORK/speed.txt"
}
# Rank 1 is killed in mid-run: the run ends in time, with code 4 or mpirun's own, and a verdict that names it.
killed() {
  local pid code=0
  ranks 2 run.dir="$WORK/killed" train.steps=100000 comm.timeout=20 parallel.data=2 >"$WORK/killed.txt" 2>&1 &
  pid=$!
  for _ in $(seq 60); do
    if grep -q 'step=5 ' "$WORK/killed.txt"; then break; fi
    sleep 1
  done
  kill -9 "$(pgrep -P "$(pgrep -P $pid -x mpirun || echo $pid)" -x orthant | tail -n 1)"
  wait $pid || code=$?
  cat "$WORK/killed.txt"
  ((code != 0)) && grep -qi 'rank 1' "$WORK/killed.txt"
}
# Two ranks that see one GPU: refused, with the reason.
shared() {
  local code=0
  CUDA_VISIBLE_DEVICES=0 ranks 2 run.dir="$WORK/shared" parallel.data=2 >"$WORK/shared.txt" 2>&1 || code=$?
  cat "$WORK/shared.txt"
  ((code == 3)) && grep -q 'each rank needs its own' "$WORK/shared.txt"
}

if ((${#STEP[@]})); then
  "${STEP[@]}"
  exit
fi

check 'start: orthant --version' 20 "$ORTHANT" --version
check 'device: memory, streams, offload, checkpoints' 90 cases '*Gpu.*:*GpuStore*'
check 'operations: every one against the processor' 60 cases '*GpuKernels*:GpuAdamW*'
check 'training: steps on one GPU against the processor' 90 cases 'GpuTraining*'
check 'curve: orthant train, fp64, one GPU' 60 one_gpu
check 'curve: one rank under mpirun' 40 mesh 1
check 'resume: from a GPU, and on the processor' 90 resumed
check 'two ranks on one GPU are refused' 40 shared
if ((GPUS >= 2)); then
  check 'nccl: data 2' 40 mesh 2 parallel.data=2
  check 'nccl: tensor 2, tensor_sequence' 40 mesh 2 parallel.tensor=2 parallel.tensor_sequence=true
  check 'nccl: sequence 2' 40 mesh 2 parallel.sequence=2
  check 'nccl: pipeline 2' 40 mesh 2 parallel.pipeline=2
  check 'nccl: zero 3, offloaded' 40 mesh 2 parallel.data=2 parallel.zero=3 zero.offload.optimizer=host
  check 'nccl: checked calls' 40 mesh 2 parallel.data=2 comm.check=true
  check 'fault: a killed rank' 90 killed
else
  not_run 'nccl and faults between GPUs' 'one GPU here'
fi
if ((GPUS >= 4)); then check 'nccl: data 2 x tensor 2' 40 mesh 4 parallel.data=2 parallel.tensor=2 parallel.zero=2; fi
if ((GPUS >= 8)); then check 'nccl: 2 x 2 x 2' 40 mesh 8 parallel.data=2 parallel.tensor=2 parallel.pipeline=2; fi
check 'learning: bytes of this repository, bf16' 120 learns
check 'speed: GPT-2 124M, bf16' 120 speed
if [[ -s "$WORK/speed.txt" ]]; then grep -E 'step=20 ' "$WORK/speed.txt" || true; fi

echo "$PASSED passed, $FAILED failed"
((FAILED == 0 && PASSED > 0))
