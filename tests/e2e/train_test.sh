#!/usr/bin/env bash
# `orthant train` with ranks as threads: repeatable to the bit, the same curve on other meshes, a run's files, JSON.
#   train_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which compares the runs, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"

# has_keys: every step has every documented number, and evaluations stand where they were asked for.
has_keys() {
  python3 - "$work/runs/one/metrics.jsonl" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6], lines
documented = {"step", "loss", "grad_norm", "lr", "tokens", "dt", "dtf", "dtb", "dto", "sps", "sps_per_rank", "tps",
              "tps_per_rank", "mfu", "tflops_per_rank", "mem_peak_bytes", "mem_host_peak_bytes", "mem_bytes", "comm_bytes"}
for line in lines:
    evaluated = {"val_loss", "train_loss"} if line["step"] in (3, 6) else set()
    assert set(line) == documented | evaluated, line
    assert set(line["comm_bytes"]) == {"data", "tensor", "pipeline", "sequence"}, line
    assert line["tokens"] == line["step"] * 8 * 16 and line["loss"] > 0 and line["dt"] > 0, line
END
}

files_are_there() {
  local file
  for file in config.yaml metrics.jsonl samples.txt; do
    [[ -s "$work/runs/one/$file" ]] || { echo "$file is missing or empty" && return 1; }
  done
  [[ "$(grep -c '^--- step ' "$work/runs/one/samples.txt")" == 2 ]] || { cat "$work/runs/one/samples.txt" && return 1; }
}

# The stored configuration is complete and gives the same run.
config_loads_back() {
  "$binary" config show "$work/runs/one/config.yaml" --format json >"$work/stored.json" || return 1
  "$binary" config show "$run_file" run.dir="$work/runs/one" --format json >"$work/given.json" || return 1
  diff "$work/stored.json" "$work/given.json" || return 1
  timeout 120 "$binary" train "$work/runs/one/config.yaml" run.dir="$work/runs/again" >"$work/again.out" 2>&1 || return 1
  same one again
}

console_says() {
  local pattern
  for pattern in '^mesh  *data=1 tensor=1 pipeline=1 sequence=1' '^step=6 loss=[0-9.]* grad_norm=' 'val_loss=' \
    'prompt: the ' 'grad_norm .*before clipping'; do
    grep -q "$pattern" "$work/one.out" || { echo "no line matches '$pattern'" && cat "$work/one.out" && return 1; }
  done
  [[ "$(grep -c '^step=' "$work/one.out")" == 6 ]]
}

json_alone_on_stdout() {
  train json --format json || return 1
  python3 - "$work/json.out" "$work/runs/json/metrics.jsonl" <<'END'
import json, sys
summary = json.load(open(sys.argv[1]))  # fails on anything beside one object
last = [json.loads(line) for line in open(sys.argv[2])][-1]
assert summary["steps"] == 6 and summary["ranks"] == 1, summary
assert summary["loss"] == last["loss"] and summary["val_loss"] == last["val_loss"], (summary, last)
END
  grep -q '^step=6 ' "$work/json.err" # what people read is on stderr
}

samples_are_the_same() { diff "$work/runs/one/samples.txt" "$work/runs/$1/samples.txt"; }

# The same folder again: what is finished stays, on any mesh, unless the run is to start again.
starts_again() {
  cp "$work/runs/one/metrics.jsonl" "$work/before.jsonl"
  train one parallel.tensor=2 || return 1
  cmp "$work/before.jsonl" "$work/runs/one/metrics.jsonl" || return 1
  grep -q 'no steps: the run was at step 6 of 6 already' "$work/one.out" || return 1
  train one parallel.tensor=2 checkpoint.resume=never || return 1
  cmp "$work/before.jsonl" "$work/runs/one/metrics.jsonl.old" || return 1
  grep -q 'the run starts again' "$work/one.out"
}

other_run_is_refused() {
  local code=0
  train one model.layers=4 >"$work/refused.txt" || code=$?
  [[ "$code" == 2 ]] && grep -q 'model.layers: 3 there, 4 here' "$work/one.err"
}

no_evaluation_no_steps() {
  train quiet evaluate.batches=0 train.steps=1 || return 1
  [[ ! -e "$work/runs/quiet/samples.txt" ]] || return 1
  train none train.steps=0 || return 1
  [[ -s "$work/runs/none/config.yaml" && ! -s "$work/runs/none/metrics.jsonl" ]]
}

check "one rank" train one
check "every documented number at every step" has_keys
check "the run's files" files_are_there
check "console" console_says
check "config.yaml loads back and repeats the run" config_loads_back
check "--format json prints JSON alone" json_alone_on_stdout
check "--format json changes no number" same one json

check "eight ranks" train eight parallel.data=2 parallel.tensor=2 parallel.pipeline=2 parallel.zero=1
check "eight ranks again" train eight2 parallel.data=2 parallel.tensor=2 parallel.pipeline=2 parallel.zero=1
check "the same command gives the same bits" same eight eight2
check "eight ranks keep the curve" close one eight 1e-9
check "eight ranks write the same samples" samples_are_the_same eight
check "single precision" train float train.dtype=fp32 parallel.data=2 parallel.sequence=2 train.threads_per_rank=2
check "single precision again" train float2 train.dtype=fp32 parallel.data=2 parallel.sequence=2 train.threads_per_rank=2
check "the same bits in single precision" same float float2
check "single precision keeps to rounding" close one float 1e-4

meshes=("parallel.data=4 parallel.zero=1" "parallel.data=2 parallel.zero=2 parallel.pipeline=3"
  "parallel.data=2 parallel.sequence=2 parallel.zero=3" "parallel.sequence=2 parallel.pipeline=2 parallel.zero=3"
  "parallel.sequence=2 parallel.tensor=2 parallel.tensor_sequence=true parallel.zero=3" "parallel.tensor=4" "parallel.tensor=2 parallel.tensor_sequence=true"
  "parallel.pipeline=3 parallel.schedule=gpipe" "parallel.pipeline=2 parallel.stages=[1,2]" "parallel.sequence=4"
  "parallel.data=2 parallel.tensor=2 parallel.pipeline=2 parallel.sequence=2 parallel.tensor_sequence=true")
for i in "${!meshes[@]}"; do
  read -r -a keys <<<"${meshes[i]}"
  check "trains with ${meshes[i]}" train "mesh$i" "${keys[@]}"
  check "the same curve with ${meshes[i]}" close one "mesh$i" 1e-9
  check "the same samples with ${meshes[i]}" samples_are_the_same "mesh$i"
done

check "the same run in its folder: finished, or again on request" starts_again
check "another run is refused there" other_run_is_refused
check "without evaluation, without steps" no_evaluation_no_steps
finish
