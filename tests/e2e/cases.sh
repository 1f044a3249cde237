# shellcheck shell=bash disable=SC2154
# Sourced by *_test.sh: names cases, counts them, and writes the counts where tests/run.sh looks for them. Sets `work`,
# a folder that goes away at the end. The sourcing script has set `build` and `binary`; `binary` becomes a copy, so that
# a build under way cannot pull it from under the test.
set -euo pipefail
passed=0 failed=0 skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$binary" "$work/orthant"
binary=$work/orthant

# check NAME COMMAND...: a case that passes when the command does; what it printed is shown when it does not.
check() {
  local name=$1 code=0
  shift
  "$@" >"$work/output" 2>&1 || code=$?
  if ((code == 0)); then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name: exit code $code"
    tail -n 40 "$work/output" | sed 's/^/  /'
    failed=$((failed + 1))
  fi
}

# fails_with CODE TEXT COMMAND...: exit code and a part of what it says.
fails_with() {
  local wanted=$1 text=$2 code=0
  shift 2
  "$@" >"$work/fails.out" 2>"$work/fails.err" || code=$?
  [[ "$code" == "$wanted" ]] && grep -qF -- "$text" "$work/fails.err" && return 0
  echo "exit code $code, wanted $wanted and '$text'"
  cat "$work/fails.out" "$work/fails.err"
  return 1
}

# opens_in_browser BROWSER FILE: without a window; the page's script gets to its end.
opens_in_browser() {
  "$1" --headless --no-sandbox --disable-gpu --virtual-time-budget=5000 --dump-dom "file://$2" >"$work/dom.html" 2>"$work/browser.err" || return 1
  grep -q 'data-script="ready"' "$work/dom.html"
}

# skip NAME REASON
skip() {
  echo "skipped $1: $2"
  skipped=$((skipped + 1))
}

# Writes the counts as GoogleTest does; the last command of a script.
finish() {
  local results
  results="$build/test-results/e2e.$(basename "$0" _test.sh).json"
  mkdir -p "${results%/*}"
  printf '{\n  "tests": %d,\n  "failures": %d,\n  "disabled": %d,\n  "errors": 0\n}\n' \
    $((passed + failed + skipped)) "$failed" "$skipped" >"$results"
  echo "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0 && passed + skipped > 0))
}
