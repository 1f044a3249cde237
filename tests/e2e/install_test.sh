#!/usr/bin/env bash
# Installs Orthant into a new folder, and configures, builds and runs examples/use_library against it.
#   install_test.sh BUILD_DIR ORTHANT_BINARY
set -euo pipefail
build=$1
source_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" && exit 1; }

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log" 2>&1 || { cat "$work/install.log" && fail "cmake --install"; }
[[ -f "$work/prefix/include/orthant/mesh/mesh.h" ]] || fail "no headers in include/"
[[ -x "$work/prefix/bin/orthant" ]] || fail "no bin/orthant"
"$work/prefix/bin/orthant" --help >"$work/help.txt" 2>&1 || { cat "$work/help.txt" && fail "the installed binary does not run"; }
grep -q train "$work/help.txt" || fail "--help does not name 'train'"
if grep -rn "$build" "$work/prefix/lib" --include='*.cmake'; then fail "the package names the build folder"; fi

# The example, outside of this checkout.
cp -r "$source_dir/examples/use_library" "$work/example"
{
  cmake -S "$work/example" -B "$work/example/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$work/prefix;${CMAKE_PREFIX_PATH:-}" && cmake --build "$work/example/build"
} >"$work/example.log" 2>&1 || { cat "$work/example.log" && fail "building the example"; }
"$work/example/build/print_mesh" 1 2 2 1 >"$work/mesh.txt" || fail "running the example"
cat "$work/mesh.txt"
grep -q 'data=1 tensor=2 pipeline=2 sequence=1: 4 ranks' "$work/mesh.txt" || fail "unexpected mesh"
grep -q 'tensor group: 2 3' "$work/mesh.txt" || fail "unexpected tensor group"
