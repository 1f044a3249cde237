#!/usr/bin/env bash
# Configures and builds a preset, with its log in build/PRESET/build.log.
#   launch/build.sh [PRESET] [TARGET...] [-- CMAKE_ARGUMENT...]     PRESET: release (default), cpu, cuda, asan, tsan
#   ORTHANT_JOBS=N launch/build.sh                                  N compilers at once
set -Eeuo pipefail
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PRESET=release TARGETS=''
case "${1:-}" in
  -h | --help) sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
  '' | --) ;;
  *) PRESET=$1 && shift ;;
esac
while (($#)) && [[ "$1" != -- ]]; do
  TARGETS+="$1 "
  shift
done
(($#)) && shift
build_preset "$PRESET" "$TARGETS" "$@"
