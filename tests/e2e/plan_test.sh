#!/usr/bin/env bash
# `orthant plan --cluster`: a plan as text, JSON and YAML that trains; what it says when nothing fits or is legal.
#   plan_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the plans, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
cd "$here/../.."

# plan CODE NAME ARGUMENTS...: runs it; its exit code is CODE, its output is in NAME.out and NAME.err.
plan() {
  local expected=$1 name=$2 code=0
  shift 2
  timeout 120 "$binary" plan "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null || code=$?
  if [[ "$code" != "$expected" ]]; then
    echo "exit code $code, not $expected"
    cat "$work/$name.out" "$work/$name.err"
    return 1
  fi
}

# holds NAME EXPRESSION: a Python expression over `plan`, the JSON in NAME.out, and its `best`.
holds() {
  python3 - "$work/$1.out" "$2" <<'END'
import json, sys
plan = json.load(open(sys.argv[1]))
best = plan["best"]
if not eval(f"({sys.argv[2]})"):
    print(json.dumps(plan, indent=1)[:4000])
    sys.exit(1)
END
}

# says NAME TEXT: NAME.out or NAME.err has it.
says() { grep -qF -- "$2" "$work/$1.out" "$work/$1.err" || { cat "$work/$1.out" "$work/$1.err" && return 1; }; }

gpt3=configs/models/gpt3-175b.yaml
check "GPT-3 on 1,024 A100" plan 0 gpt3 $gpt3 --cluster selene --ranks 1024 --format json --explain
check "tensor stays in the node, and there is a pipeline" holds gpt3 \
  '1 < best[0]["layout"]["tensor"] <= 8 and best[0]["layout"]["pipeline"] > 1'
check "degrees multiply to the ranks" holds gpt3 \
  'all(l["data"] * l["tensor"] * l["pipeline"] * l["sequence"] == 1024 for l in (b["layout"] for b in best))'
check "the parts add up to the step" holds gpt3 \
  'all(abs(sum(b["parts"].values()) / b["step_seconds"] - 1) < 1e-6 for b in best)'
check "every stage fits" holds gpt3 \
  'all(s["total"] <= plan["capacity_bytes"] for b in best for s in b["memory"])'
check "rejected families have a reason" holds gpt3 'any("crosses the node" in line for line in plan["rejected"])'
check "rules of thumb" holds gpt3 'any("within the node" in r["rule"] for r in plan["rules"])'
check "a family that the trainer lacks" plan 0 llama configs/models/llama2-70b.yaml --cluster polaris --ranks 512
check "says so" says llama "Orthant cannot train the family llama yet"
check "a run of one's own, and the layout is written" plan 0 own configs/shakespeare.yaml model.vocab=78 \
  --cluster polaris --ranks 4 --write "$work/best.yaml"
check "the written layout is a run's" "$binary" config show "$work/best.yaml"
check "nothing fits: exit code 2" plan 2 none $gpt3 --cluster polaris --ranks 4
check "what is nearest and what it would take" says none "it would take: devices of"
check "nothing is legal: exit code 2" plan 2 odd configs/shakespeare.yaml model.vocab=78 --cluster polaris --ranks 7
check "nearest ranks" says odd "nearest legal: --ranks 6 or 8"
check "no such cluster: exit code 2" plan 2 cluster $gpt3 --cluster polari --ranks 4
check "did you mean" says cluster "did you mean polaris?"
check "a cluster without facts: exit code 2" plan 2 facts $gpt3 --cluster slurm --ranks 4
check "names the keys" says facts "performance.peak_tflops"
check "more than one node on a machine that has one" plan 2 node $gpt3 --cluster a100-vtrain-node --ranks 16
check "nearest legal is its node" says node "nearest legal: 8"
sed 's/heads: 96/heads: 97/' $gpt3 >"$work/wrong.yaml"
check "a model that cannot be: exit code 2" plan 2 wrong "$work/wrong.yaml" --cluster selene --ranks 8
check "the rule and the nearest" says wrong "must divide model.hidden = 12288"
check "this machine, calibrated" "$binary" bench calibrate --ranks 2 --seconds 0.01 --output "$work/here.yaml"
check "is a cluster to plan for" plan 0 here configs/shakespeare.yaml model.vocab=78 --cluster "$work/here.yaml" \
  --ranks 2 --format json
check "with figures" holds here 'best[0]["step_seconds"] > 0 and plan["calibration"] == "here-calibration"'
finish
