#!/usr/bin/env bash
# The fault campaign (faults/campaign.py): its quick set, each kind of fault once or twice. With ORTHANT_ALL_FAULTS=1
# all of it, some 25 minutes: longer than tests/run.sh gives a tier, so for a start by hand.
#   faults_test.sh BUILD_DIR ORTHANT_BINARY
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which runs the campaign, is not on PATH" && exit 77; }
set_of_cases=(--quick)
[[ "${ORTHANT_ALL_FAULTS:-0}" != 1 ]] || set_of_cases=()
exec python3 "$here/faults/campaign.py" "$1" "$2" "${set_of_cases[@]}"
