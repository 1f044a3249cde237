#!/usr/bin/env bash
# docs/configuration.md and docs/clusters.md are what the program says of its own keys; and every file in configs/ loads.
#   configuration_test.sh BUILD_DIR ORTHANT_BINARY
set -euo pipefail
binary=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

"$binary" config reference | diff docs/configuration.md - || {
  echo "FAIL docs/configuration.md is stale: $binary config reference > docs/configuration.md"
  exit 1
}
"$binary" config reference --clusters | diff docs/clusters.md - || {
  echo "FAIL docs/clusters.md is stale: $binary config reference --clusters > docs/clusters.md"
  exit 1
}
for file in configs/*.yaml; do
  "$binary" config show "$file" >/dev/null || { echo "FAIL $file" && exit 1; }
done
for file in configs/clusters/*.yaml; do
  "$binary" launch --dry-run --cluster "$file" --scheduler none -- train configs/shakespeare.yaml \
    >/dev/null || { echo "FAIL $file" && exit 1; }
done
echo "ok"
