#!/usr/bin/env bash
# Predicted against measured steps on this machine, for layouts of one run:
#   tests/benchmarks/compare_plan.sh [RUN.yaml] [RANKS] [LAYOUTS]        defaults: configs/shakespeare.yaml 2 20
# Calibrates the machine (orthant bench calibrate), asks orthant plan for its layouts, takes each one's step with
# orthant bench step, and prints errors. Minutes, and figures only on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
run=${1:-configs/shakespeare.yaml} ranks=${2:-2} layouts=${3:-20}
binary=${ORTHANT_BINARY:-build/release/orthant}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
synthetic=(model.vocab=512 data.source=synthetic data.synthetic_vocab=512 train.threads_per_rank=1)
"$binary" bench calibrate --ranks "$ranks" --output "$work/here.yaml"
"$binary" plan "$run" "${synthetic[@]}" --cluster "$work/here.yaml" --ranks "$ranks" --show 1000 --format json >"$work/plan.json"
python3 - "$work/plan.json" "$binary" "$run" "$layouts" "${synthetic[@]}" <<'END'
import json, subprocess, sys
plan_file, binary, run, count, *overrides = sys.argv[1:]
best = json.load(open(plan_file))["best"]
# From the quickest to the slowest that the plan lists, evenly.
chosen = [best[round(i * (len(best) - 1) / max(1, int(count) - 1))] for i in range(min(int(count), len(best)))]
errors, pairs = [], []
for one in chosen:
    l = one["layout"]
    keys = [f"parallel.{k}={l[k]}" for k in ("data", "tensor", "pipeline", "sequence", "zero")]
    keys += [f"parallel.schedule={l['schedule']}", f"parallel.tensor_sequence={str(l['tensor_sequence']).lower()}",
             f"zero.shard_ranks={l['shard_ranks'] if l['zero'] else 0}", f"memory.recompute={l['recompute']}",
             f"train.micro_batch={l['micro_batch']}",
             f"zero.offload.optimizer={'none' if l['offload'] == 'none' else 'host'}",
             f"zero.offload.parameters={'host' if 'parameters' in l['offload'] else 'none'}"]
    done = subprocess.run([binary, "bench", "step", run, *overrides, *keys, "--steps", "20", "--format", "json"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        print(" ".join(keys), "failed:", done.stderr.strip().splitlines()[-1:])
        continue
    measured = json.loads(done.stdout)["step"]["median_seconds"]
    error = one["step_seconds"] / measured - 1
    errors.append(abs(error))
    pairs.append((one["step_seconds"], measured))
    print(f"{one['step_seconds'] * 1e3:9.2f} ms predicted {measured * 1e3:9.2f} ms measured {100 * error:+7.1f} %  {' '.join(keys)}")
if errors:
    first = min(range(len(pairs)), key=lambda i: pairs[i][0])
    regret = pairs[first][1] / min(m for _, m in pairs) - 1
    print(f"{len(errors)} layouts: mean |error| {100 * sum(errors) / len(errors):.1f} %, regret of the first {100 * regret:.1f} %")
END
