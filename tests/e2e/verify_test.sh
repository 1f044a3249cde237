#!/usr/bin/env bash
# `orthant verify`: JSON as documented, text for people, exit codes.
#   verify_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the JSON, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
run_file="$here/../../configs/verify.yaml"

json_is_as_documented() {
  timeout 300 "$binary" verify "$run_file" --meshes 5 --steps 2 --format json >"$work/verify.json" 2>"$work/verify.err" ||
    { cat "$work/verify.json" "$work/verify.err" && return 1; }
  python3 - "$work/verify.json" <<'END'
import json, sys
result = json.load(open(sys.argv[1]))
combinations = result["combinations"]
assert len(combinations) == 10, len(combinations)  # five as written, five with the file's variant
assert len(result["reference"]["losses"]) == 2, result["reference"]
for row in combinations:
    parallel = row["parallel"]
    ranks = parallel["data"] * parallel["tensor"] * parallel["pipeline"] * parallel["sequence"]
    assert row["ranks"] == ranks and 2 <= ranks <= 16, row
    assert row["ok"] is True and 0 <= row["max_rel_diff"] <= 1e-9 and row["worst"], row
assert sum("variant" in row for row in combinations) == 5
assert max(row["ranks"] for row in combinations) == 16, "the largest mesh is among them"
END
}

# Forty of all legal combinations, drawn by a fixed seed, with everything of ZeRO, offload and recompute among them.
drawn_sample_agrees() {
  timeout 300 "$binary" verify "$run_file" --meshes 20 --seed 1 --steps 2 --format json >"$work/verify.json" \
    2>"$work/verify.err" || { tail -n 40 "$work/verify.json" "$work/verify.err" && return 1; }
  python3 - "$work/verify.json" <<'END'
import json, sys
result = json.load(open(sys.argv[1]))
combinations = result["combinations"]
assert len(combinations) == 40 and result["reference"]["legal"] >= 1000, (len(combinations), result["reference"])
assert all(row["ok"] is True and row["max_rel_diff"] <= 1e-9 for row in combinations), combinations
for kind in ("numbers", "first_gradients", "gradients", "values"):
    assert all(0 <= row["max_rel_diff_by_kind"][kind] <= row["max_rel_diff"] for row in combinations), kind
assert {row["parallel"]["zero"] for row in combinations} == {0, 1, 2, 3}
extras = " ".join(" ".join(row.get("with", [])) for row in combinations)
for wanted in ("memory.recompute=full", "memory.recompute=selective", "zero.offload.optimizer=host",
               "zero.offload.optimizer=nvme", "zero.offload.parameters=host", "zero.offload.parameters=nvme",
               "zero.shard_ranks=", "zero.tile_bytes=", "zero.bucket_bytes=", "zero.prefetch_bytes=0",
               "zero.release_after_forward=false"):
    assert wanted in extras, f"no {wanted} among {extras}"
END
}

# dtype_holds DTYPE: to the bounds of docs/verify.md, which stand in the output.
dtype_holds() {
  timeout 300 "$binary" verify "$run_file" --meshes 4 --seed 3 --dtype "$1" >"$work/verify.txt" 2>"$work/verify.err" ||
    { cat "$work/verify.txt" "$work/verify.err" && return 1; }
  grep -q " 0 failed; worst difference .*(tolerances in $1: loss and norm " "$work/verify.txt" ||
    { cat "$work/verify.txt" && return 1; }
}

text_is_a_table() {
  timeout 300 "$binary" verify "$run_file" --max-ranks 2 --meshes 2 --steps 1 >"$work/verify.txt" 2>"$work/verify.err" ||
    { cat "$work/verify.txt" "$work/verify.err" && return 1; }
  if ! grep -q 'worst difference' "$work/verify.txt" || ! grep -q ' 0 failed' "$work/verify.txt" ||
    ! grep -q 'in fp64' "$work/verify.err"; then
    cat "$work/verify.txt" "$work/verify.err"
    return 1
  fi
}

# refuses PATTERN ARGUMENTS...: exit code 2 and one message that matches.
refuses() {
  local pattern=$1 code=0
  shift
  timeout 100 "$binary" verify "$@" >"$work/refused.out" 2>"$work/refused.err" || code=$?
  if [[ "$code" != 2 || -s "$work/refused.out" ]] || ! grep -q -- "$pattern" "$work/refused.err"; then
    echo "exit code $code"
    cat "$work/refused.out" "$work/refused.err"
    return 1
  fi
}

check "--format json" json_is_as_documented
check "forty drawn combinations" drawn_sample_agrees
check "fp32" dtype_holds fp32
check "bf16" dtype_holds bf16
check "text" text_is_a_table
check "no number of meshes" refuses "neither 'all' nor a number" "$run_file" --meshes some
check "an order that names no mesh" refuses 'parallel.order is' "$run_file" 'parallel.order=[data]' --max-ranks 2
check "a model that no mesh divides" refuses 'no mesh of 2 to 16 ranks is legal' "$run_file" 'verify.variants=[]' \
  model.heads=1 model.layers=1 train.global_batch=1
check "a configuration that does not divide" refuses 'model.heads = 7 must divide' "$run_file" model.heads=7
finish
