#!/usr/bin/env bash
# `orthant checkpoint inspect | verify | diff | export | import` on runs of different meshes.
#   checkpoint_commands_test.sh BUILD_DIR ORTHANT_BINARY
# shellcheck disable=SC2034
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the JSON, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"

# ends CODE TEXT COMMAND...: the command ends with the exit code, and stderr or stdout has the text.
ends() {
  local code=0 wanted=$1 text=$2
  shift 2
  timeout 60 "$@" >"$work/ends.out" 2>"$work/ends.err" || code=$?
  if ((code == wanted)) && grep -qF -- "$text" "$work/ends.out" "$work/ends.err"; then return 0; fi
  echo "exit code $code, wanted $wanted with: $text"
  cat "$work/ends.out" "$work/ends.err"
  return 1
}

# json FILE CONDITION: stdout was one JSON object `d`, for which the condition holds.
json() { python3 -c "import json, sys; d = json.load(open(sys.argv[1])); assert $2, d" "$1"; }

checkpoint() { timeout 60 "$binary" checkpoint "$@"; }

run_two() {
  train one train.dtype=bf16 train.steps=4 checkpoint.every=2 &&
    train four train.dtype=bf16 train.steps=4 checkpoint.every=2 parallel.data=2 parallel.tensor=2 parallel.zero=1
}
check "a run on one rank and one on four" run_two
one="$work/runs/one" four="$work/runs/four"

inspects() {
  ends 0 "data 2 x tensor 2 x pipeline 1 x sequence 1, 4 ranks" "$binary" checkpoint inspect "$four" &&
    ends 0 "h.0 .. h.2 (3 alike)" "$binary" checkpoint inspect "$four/checkpoints" &&
    checkpoint inspect "$four/checkpoints/step_00000002" --format json >"$work/inspect.json" &&
    json "$work/inspect.json" 'd["step"] == 2 and d["run"]["ranks"] == 4 and len(d["tensors"]) == 160 and not d["faults"]'
}
check "inspect tells mesh, tree and step" inspects

whole() {
  ends 0 "whole: step 4" "$binary" checkpoint verify "$four" &&
    checkpoint verify "$one" --format json >"$work/verify.json" &&
    json "$work/verify.json" 'd["whole"] and d["tensors"] == 160 and d["others"] == []'
}
check "verify finds them whole" whole

diffs() {
  ends 0 "identical to the bit" "$binary" checkpoint diff "$one" "$one" --exit-code &&
    ends 6 "are not identical" "$binary" checkpoint diff "$one" "$one/checkpoints/step_00000002" --exit-code &&
    checkpoint diff "$one" "$four" --kinds first_moment,second_moment --top 3 --format json >"$work/diff.json" &&
    json "$work/diff.json" 'd["compared"] == 80 and not d["unmatched"] and len(d["differences"]) <= 3'
}
check "diff across steps, meshes and kinds" diffs

there_and_back() {
  checkpoint export "$four" --format hf --output "$work/hf" --report json >"$work/export.json" &&
    json "$work/export.json" 'd["tensors"] == 40 and d["dtype"] == "fp32"' &&
    checkpoint import "$work/hf" --format hf --output "$work/back" &&
    ends 0 "identical to the bit" "$binary" checkpoint diff "$four" "$work/back" --kinds parameter,master --exit-code &&
    ends 2 "is a folder that is not empty" "$binary" checkpoint export "$four" --format hf --output "$work/hf"
}
check "export and import are exact" there_and_back

starts_from_import() {
  train tuned train.dtype=bf16 train.steps=2 init.from="$work/back" checkpoint.every=0 checkpoint.at_end=false &&
    grep -qF "$work/back" "$work/tuned.out" "$work/tuned.err"
}
check "a run starts from an import" starts_from_import

damage() {
  local step="$four/checkpoints/step_00000004" offset byte
  # The first slice of wte's masters.
  checkpoint inspect "$step" --format json >"$work/files.json"
  read -r file offset < <(python3 - "$step" <<'END'
import json, sys
manifest = json.load(open(sys.argv[1] + "/manifest.json"))
wte = next(t for t in manifest["tensors"] if t["name"] == "wte.weight" and t["kind"] == "master")
print(manifest["files"][wte["slices"][0][0]][0], wte["slices"][0][1])
END
  )
  byte=$(od -An -tu1 -j "$offset" -N1 "$step/$file")
  printf '%b' "\\x$(printf '%x' $((byte ^ 8)))" | dd of="$step/$file" bs=1 seek="$offset" conv=notrunc status=none
  ends 5 "step 2 is whole: $four/checkpoints/step_00000002" "$binary" checkpoint verify "$four" &&
    ends 5 "1 of 160 logical tensors are hurt" "$binary" checkpoint verify "$step" &&
    ! checkpoint verify "$step" --format json >"$work/hurt.json" 2>/dev/null &&
    json "$work/hurt.json" 'len(d["hurt"]) == 1 and d["hurt"][0]["tensor"] == "wte.weight" and d["hurt"][0]["kind"] == "master"' &&
    ends 5 "$file" "$binary" checkpoint export "$step" --format hf --output "$work/hurt_hf" &&
    [[ ! -e "$work/hurt_hf" ]] &&
    rm "$step/$file" &&
    ends 5 "is missing" "$binary" checkpoint inspect "$step"
}
check "verify names what is hurt and what is whole" damage

usage() {
  ends 5 "no such folder" "$binary" checkpoint inspect "$work/nowhere" &&
    ends 2 "--format" "$binary" checkpoint export "$one" --format onnx --output "$work/x" &&
    ends 2 "did you mean verify?" "$binary" checkpoint verfy "$one" &&
    ends 2 "--kinds" "$binary" checkpoint diff "$one" "$four" --kinds weights
}
check "mistakes end with 2, missing folders with 5" usage

finish
