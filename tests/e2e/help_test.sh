#!/usr/bin/env bash
# Every --help exits 0 and shows an example, whichever subcommands there are; bad usage exits 2.
#   help_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
# shellcheck source=cases.sh
source "$here/cases.sh"

# shows_example COMMAND...: its help, kept in help.txt.
shows_example() {
  "$binary" "$@" --help >"$work/help.txt" || return 1
  if ! grep -q '^ *Examples\?:' "$work/help.txt" || ! grep -q 'orthant [a-z]' "$work/help.txt"; then
    cat "$work/help.txt"
    return 1
  fi
}

# subcommands COMMAND...: the names under "Subcommands:" of its help.
subcommands() { "$binary" "$@" --help | awk '/^Subcommands:/ { on = 1; next } /^ *$/ { on = 0 } on { print $1 }'; }

usage_error() {
  local code=0
  "$binary" "$@" >"$work/usage.out" 2>"$work/usage.err" || code=$?
  if [[ "$code" != 2 || -s "$work/usage.out" ]] || ! grep -q '^error: ' "$work/usage.err"; then
    echo "exit code $code"
    cat "$work/usage.out" "$work/usage.err"
    return 1
  fi
}

check "orthant --help" shows_example
for command in $(subcommands); do
  check "orthant $command --help" shows_example "$command"
  for part in $(subcommands "$command"); do check "orthant $command $part --help" shows_example "$command" "$part"; done
done
check "orthant --version" grep -q '^orthant [0-9]' <("$binary" --version)
check "no subcommand" usage_error
check "an unknown subcommand" usage_error tarin
check "an unknown option" usage_error train --fromat json run.yaml
check "a missing argument" usage_error train
check "a file that is not there" usage_error train "$work/none.yaml"
check "train, verify, data and config are there" diff <(echo "config data train verify") \
  <(subcommands | grep -xE 'config|data|train|verify' | sort | xargs)
finish
