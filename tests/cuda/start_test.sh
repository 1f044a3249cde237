#!/usr/bin/env bash
# The build for GPUs on any machine: it starts, its CPU path trains as ever, and where there is no GPU it says so with
# exit code 3. Prints one line a case.
#   tests/cuda/start_test.sh ORTHANT [ORTHANT_OF_ANOTHER_BUILD]     the second, where given, must train to the same bits
set -Eeuo pipefail
orthant=$(realpath "$1")
other=${2:+$(realpath "$2")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
# expect CODE TEXT COMMAND...: the exit code, and TEXT somewhere in what it prints.
expect() {
  local code=$1 text=$2 got=0
  shift 2
  "$@" >out 2>&1 || got=$?
  if [[ $got == "$code" ]] && grep -qF -- "$text" out; then
    echo "ok    $* -> $code"
  else
    echo "FAIL  $* -> $got, expected $code and '$text':"
    sed 's/^/      /' out
    failed=1
  fi
}

cat >run.yaml <<'YAML'
run: {name: tiny, dir: run, seed: 1}
model: {layers: 2, heads: 2, hidden: 16, context: 16, dropout: 0.1}
train: {steps: 4, global_batch: 4, micro_batch: 2, dtype: fp64}
data: {source: synthetic, synthetic_vocab: 31, synthetic_tokens: 2000}
evaluate: {batches: 0}
checkpoint: {at_end: false}
log: {peak_tflops: 1}
YAML
losses() { sed 's/.*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/' "$1/metrics.jsonl"; }

expect 0 'orthant' "$orthant" --version
expect 0 'step=4' "$orthant" train run.yaml train.device=cpu run.dir=cpu log.every=1
if nvidia-smi -L >/dev/null 2>&1; then
  expect 0 'device     ' "$orthant" train run.yaml train.device=cuda run.dir=gpu
else
  expect 3 'this host has no GPU that CUDA can use' "$orthant" train run.yaml train.device=cuda run.dir=gpu
  expect 0 'step=4' "$orthant" train run.yaml train.device=auto run.dir=auto log.every=1
  expect 3 'this is a CUDA build, and there is no GPU' "$orthant" doctor --format json
fi
if [[ -n "$other" ]]; then
  "$other" train run.yaml train.device=cpu run.dir=other >/dev/null 2>&1
  if [[ -n "$(losses cpu)" && "$(losses cpu)" == "$(losses other)" ]]; then
    echo "ok    the same losses and norms as $other, to the bit"
  else
    echo "FAIL  losses and norms differ from those of $other"
    failed=1
  fi
fi
exit "$failed"
