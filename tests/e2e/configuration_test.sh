#!/usr/bin/env bash
# docs/configuration.md is what the program says of its own keys; and every file in configs/ loads.
#   configuration_test.sh BUILD_DIR ORTHANT_BINARY
set -euo pipefail
binary=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

"$binary" config reference | diff docs/configuration.md - || {
  echo "FAIL docs/configuration.md is stale: $binary config reference > docs/configuration.md"
  exit 1
}
for file in configs/*.yaml; do
  "$binary" config show "$file" >/dev/null || { echo "FAIL $file" && exit 1; }
done
echo "ok"
