#!/usr/bin/env bash
# Predicted against measured steps on this machine, for layouts of one run:
#   tests/benchmarks/compare_plan.sh [--run RUN.yaml] [--ranks N] [--layouts N] [--svg FOLDER] [KEY=VALUE ...]
#     without: configs/shakespeare.yaml on synthetic data, as many ranks as cores (8 at most), 20 layouts, no pictures
# Calibrates the machine (orthant bench calibrate) and has orthant plan take the steps of layouts from the quickest to the
# slowest. A minute or two, and figures only on a machine that does nothing else. More ranks than cores are not predicted
# well: a rank that waits then leaves its core to others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
run=configs/shakespeare.yaml layouts=20 pictures='' keys=()
ranks=$(nproc)
((ranks <= 8)) || ranks=8
while (($#)); do
  case "$1" in
    --run) run=$2 && shift 2 ;;
    --ranks) ranks=$2 && shift 2 ;;
    --layouts) layouts=$2 && shift 2 ;;
    --svg) pictures=$2 && shift 2 ;;
    *=*) keys+=("$1") && shift ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
  esac
done
[[ "$run" != configs/shakespeare.yaml ]] || keys=(model.vocab=78 data.source=synthetic data.synthetic_vocab=78 "${keys[@]}")
binary=${ORTHANT_BINARY:-build/release/orthant}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$binary" bench calibrate --ranks "$ranks" --output "$work/here.yaml"
"$binary" plan "$run" "${keys[@]}" --cluster "$work/here.yaml" --ranks "$ranks" --measure "$layouts" --spread ${pictures:+--svg "$pictures"}
