#!/usr/bin/env bash
# `orthant plan --cluster`: a plan as text, JSON and YAML that trains; what it says when nothing fits or is legal; and
# `parallel: auto`, which trains as planned.
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

# page_has PAGE NAME: the page shows the choice's exact numbers of NAME.out.
page_has() {
  python3 - "$1" "$work/$2.out" <<'END'
import html, json, re, sys
page, plan = html.unescape(open(sys.argv[1]).read()), json.load(open(sys.argv[2]))
cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
for one in plan["best"]:
    assert str(one["step_seconds"]) in cells or repr(one["step_seconds"]) in cells, (one["step_seconds"], cells)
for one in plan["measured"]["layouts"]:
    assert one["layout"] in page, one["layout"]
assert "http:" not in page.replace("http://www.w3.org", "") and "https:" not in page
END
}

# pictures NAME...: each is an SVG file.
pictures() {
  local name
  for name in "$@"; do
    python3 -c 'import sys, xml.dom.minidom as dom; assert dom.parse(sys.argv[1]).documentElement.tagName == "svg"' "$work/svg/$name.svg" || return 1
  done
}

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

check "layouts are measured here, the best written" plan 0 measured configs/shakespeare.yaml model.vocab=78 model.layers=2 \
  model.hidden=32 model.heads=2 data.source=synthetic data.synthetic_vocab=78 --cluster "$work/here.yaml" --ranks 2 \
  --measure 3 --spread --steps 2 --show 2 --format json --write "$work/quickest.yaml" --html "$work/plan.html" --svg "$work/svg"
check "each has its step" holds measured \
  'len(best) == 2 and len(plan["measured"]["layouts"]) == 3 and all(m["measured_seconds"] > 0 for m in plan["measured"]["layouts"])'
check "the first measured is the choice, the last the slowest" holds measured \
  '(m := plan["measured"]["layouts"]) and m[0]["predicted_seconds"] == best[0]["step_seconds"] < m[2]["predicted_seconds"]'
check "what is written is the one measured quickest" grep -q "the quickest measured" "$work/quickest.yaml"
check "the page has the numbers" page_has "$work/plan.html" measured
check "and its pictures" pictures plan-memory plan-time plan-front plan-measured
check "steps here say nothing of another machine: exit code 2" plan 2 elsewhere configs/shakespeare.yaml model.vocab=78 \
  --cluster polaris --ranks 4 --measure 2
check "what to do instead" says elsewhere "nearest legal: orthant bench calibrate"
check "a layout that does not run is told" plan 0 stuck configs/shakespeare.yaml model.vocab=78 data.path="$work/nowhere" \
  --cluster "$work/here.yaml" --ranks 2 --measure 1 --steps 1
check "with its error" says stuck "none of them ran"
browser=$(command -v chromium || command -v google-chrome || true)
if [[ -n "$browser" ]]; then
  check "the page in a browser" opens_in_browser "$browser" "$work/plan.html"
else
  skip "the page in a browser" "neither chromium nor google-chrome is on PATH"
fi

# A run whose layout is auto, on a node of four devices.
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"
cat >"$work/four.yaml" <<END
cluster: {name: four, scheduler: none}
node: {gpus: 4, gpu: processor, gpu_memory: 4 GiB}
performance: {peak_tflops: 0.05, memory_bandwidth: 10, node_bandwidth: 5, calibration: four-calibration.yaml}
END
cat >"$work/four-calibration.yaml" <<END
calibration: {name: four-calibration}
software: {name: Orthant, schedules: [gpipe, "1f1b"], tensor_sequence: true}
END
sed -i -e '/^parallel:/d' -e 's/ micro_batch: 1,//' "$run_file"
echo "parallel: auto" >>"$run_file"
line=$(wc -l <"$run_file")

# refuses CODE TEXT ARGUMENTS...: train ends with the code and says the text.
refuses() {
  local expected=$1 text=$2
  shift 2
  to refused "$expected" train "$run_file" run.dir="$work/runs/refused" "$@" && says refused "$text"
}
# told_once TEXT ARGUMENTS...: four processes end with exit code 2, and the text is printed once.
told_once() {
  local text=$1 code=0
  shift
  timeout 120 "$here/../support/mpirun.sh" 4 "$binary" train "$run_file" run.dir="$work/runs/bad" "$@" >"$work/once.out" 2>"$work/once.err" ||
    code=$?
  [[ "$code" == 2 && "$(grep -cF -- "$text" "$work/once.err")" == 1 ]] || { cat "$work/once.out" "$work/once.err" && return 1; }
}
# recorded NAME KEY: the run's config.yaml says that the planner chose the key.
recorded() { grep -E "^ *$2: .*# plan: four, 4 ranks, predicted .* a step" "$work/runs/$1/config.yaml"; }
# to NAME CODE ARGUMENTS...: runs orthant; its exit code is CODE, its output is in NAME.out and NAME.err.
to() {
  local name=$1 expected=$2 code=0
  shift 2
  timeout 120 "$binary" "$@" >"$work/$name.out" 2>"$work/$name.err" || code=$?
  [[ "$code" == "$expected" ]] || { cat "$work/$name.out" "$work/$name.err" && return 1; }
}
# with_processes NAME ARGUMENTS...: trains on four processes.
with_processes() {
  local name=$1
  shift
  timeout 200 "$here/../support/mpirun.sh" 4 "$binary" train "$run_file" run.dir="$work/runs/$name" "$@" >"$work/$name.out" \
    2>"$work/$name.err" || { cat "$work/$name.out" "$work/$name.err" && return 1; }
}

check "parallel: auto on threads" train auto --cluster "$work/four.yaml" plan.ranks=4 train.stop_at=3
check "says what was chosen" says auto "plan       four, 4 ranks: "
check "and what came next" says auto "runner-up"
for key in data tensor pipeline sequence zero micro_batch recompute; do
  check "$key is recorded with its origin" recorded auto "$key"
done
check "goes on in its folder" train auto --cluster "$work/four.yaml" plan.ranks=4
check "from where it was" says auto "the run goes on after step 3"
check "and on other ranks" train auto --cluster "$work/four.yaml" plan.ranks=2 checkpoint.resume=3
check "what is recorded trains without a plan" "$binary" train "$work/runs/auto/config.yaml" run.dir="$work/runs/again" \
  checkpoint.resume=latest
check "what is set is kept" train kept --cluster "$work/four.yaml" plan.ranks=4 train.micro_batch=2 parallel.tensor=2
check "and said" says kept "kept       command line: train.micro_batch = 2"
check "with its own origin" grep -E "micro_batch: 2 .*# command line" "$work/runs/kept/config.yaml"
check "the curve is the written layout's" train written parallel=written
check "to rounding" close written again 1e-9
check "plan shows what train would do" plan 0 shown "$run_file" parallel.tensor=2 --cluster "$work/four.yaml" --ranks 4 \
  --format json
check "and keeps what is set" holds shown 'all(b["layout"]["tensor"] == 2 for b in best)'
if command -v mpirun >/dev/null; then
  check "parallel: auto on processes" with_processes mpi plan.cluster="$work/four.yaml"
  check "is recorded" recorded mpi micro_batch
  check "the same curve" close mpi written 1e-9
else
  skip "parallel: auto on processes" "there is no mpirun"
fi
sed -i 's/^parallel: auto/parallel: outo/' "$run_file"
check "a wrong word: place, value and nearest" refuses 2 \
  "run.yaml:$line: parallel.layout: 'outo' is not one of written, auto; did you mean auto?"
sed -i 's/^parallel: outo/parallel: auto/' "$run_file"
if command -v mpirun >/dev/null; then
  check "a bad cluster under mpirun is told once" told_once "no such cluster; did you mean polaris?" --cluster polari
else
  skip "a bad cluster under mpirun is told once" "there is no mpirun"
fi
check "no cluster" refuses 2 "run.yaml:$line: parallel.layout = auto: the machine is not named" plan.ranks=4
check "no ranks" refuses 2 "on how many ranks is not said" --cluster "$work/four.yaml"
check "an unknown cluster" refuses 2 "plan.cluster = polari: no such cluster; did you mean polaris?" \
  plan.cluster=polari plan.ranks=4
check "another program's calibration" refuses 2 "is of Megatron-LM" --cluster selene plan.ranks=4
check "nothing fits" refuses 2 "nothing fits" --cluster "$work/four.yaml" plan.ranks=4 memory.limit=64KiB
check "nothing is legal" refuses 2 "plan.ranks=3: no layout is legal" --cluster "$work/four.yaml" plan.ranks=3 parallel.tensor=3
check "a written layout and --cluster" refuses 2 "is for parallel: auto" --cluster "$work/four.yaml" parallel=written
check "submit chooses too" to submitted 0 submit "$run_file" --cluster "$work/four.yaml" --scheduler slurm --nodes 1 \
  --ranks-per-host 4 --time 10 --dry-run
check "for the ranks that there will be" says submitted "four, 4 ranks: "
check "submit without a number of ranks" to unsaid 2 submit "$run_file" --cluster "$work/four.yaml" --scheduler slurm \
  --nodes 1 --time 10 --dry-run
check "is told what to give" says unsaid "give --ranks-per-host N"
check "launch hands the cluster on" to launched 0 launch --dry-run --ranks 4 --cluster "$work/four.yaml" -- train "$run_file"
check "to train" says launched "train --cluster $work/four.yaml"
finish
