#!/usr/bin/env bash
# Checks against Hugging Face transformers what `orthant checkpoint export` and `import` write. Outside the tiers of
# tests/run.sh: it needs PyTorch and transformers, which it installs in a virtual environment of its own.
#   tests/hf/run.sh                     installs into build/hf-venv, then runs the test on build/release
#   tests/hf/run.sh --python PYTHON     with this Python, which has torch and transformers already
#   tests/hf/run.sh --preset cpu        on another preset's build (orthant and hf_logits must be built)
# Exit status: 0 passed, 1 failed, 2 usage, 3 something is missing.
set -Eeuo pipefail
# shellcheck source=../../launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"
cd "$ORTHANT_HOME"

PYTHON='' PRESET=release
usage() { fail 2 "$1" "usage: tests/hf/run.sh --help"; }
while (($#)); do
  case "$1" in
    --python | --preset) (($# > 1)) || usage "$1 wants a value" ;;&
    --python) PYTHON=$2 && shift ;;
    --preset) PRESET=$2 && shift ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) usage "unknown option $1" ;;
  esac
  shift
done

if [[ -z "$PYTHON" ]]; then
  PYTHON=build/hf-venv/bin/python
  if [[ ! -x "$PYTHON" ]]; then
    python3 -m venv build/hf-venv || fail 3 "no virtual environment can be made" "install Python's venv module"
    "$PYTHON" -m pip install --quiet torch transformers || fail 3 "torch and transformers cannot be installed" "--python names a Python that has them"
  fi
fi
for program in "build/$PRESET/orthant" "build/$PRESET/tests/hf_logits"; do
  [[ -x "$program" ]] || fail 3 "$program is not built" "cmake --build --preset $PRESET --target orthant hf_logits"
done
HF_HUB_OFFLINE=1 exec "$PYTHON" tests/hf/export_test.py "build/$PRESET/orthant" "build/$PRESET/tests/hf_logits"
