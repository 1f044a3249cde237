#!/usr/bin/env bash
# Runs every command of docs/failures.md, in order, and compares exit code and stderr with what stands there: each
# message is printed once, word for word. One case for each command that is meant to fail.
#   failures_test.sh BUILD_DIR ORTHANT_BINARY             prints "ok" or "FAIL" and the command, a line a case
#   failures_test.sh BUILD_DIR ORTHANT_BINARY --update    writes what was printed into the page instead
# In a ```console block "$ " begins a command (with "<<END", up to END) and "[exit code N]" ends what it prints; a
# command without that line must succeed. Of a command under mpirun only lines with "error: " count.
set -euo pipefail
build=$1
binary=$(realpath "$2")
update=${3:-}
page="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)/docs/failures.md"
results="$build/test-results/e2e.failures.json"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/folder"
cp "$binary" "$work/bin/orthant" # a build beside us may replace it
export PATH="$work/bin:$PATH"
# Root in a container: OpenMPI wants to be told, and its single-copy transfer wants ptrace.
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}

passed=0 failed=0 skipped=0
command='' expected=''

# Runs `command`; leaves its exit code in `code` and what counts of its stderr in `printed`.
execute() {
  code=0
  (cd "$work/folder" && timeout 120 bash -c "$command") >"$work/stdout" 2>"$work/stderr" </dev/null || code=$?
  if [[ "$command" == mpirun* ]]; then
    printed=$(grep '^error: ' "$work/stderr" || true)
  else
    printed=$(<"$work/stderr")
  fi
}

# A command without an exit code: it prepares the ground for the next ones.
prepare() {
  [[ -n "$command" ]] || return 0
  execute
  if ((code != 0)); then
    echo "FAIL $command: exit code $code, and it should succeed"
    cat "$work/stderr"
    failed=$((failed + 1))
  fi
  command=''
}

# A command that must fail with exit code $1 and print `expected`.
check() {
  if [[ "$command" == mpirun* ]] && ! command -v mpirun >/dev/null; then
    echo "skipped (no mpirun) $command"
    skipped=$((skipped + 1))
    printed=$expected
    return 0
  fi
  execute
  if [[ "$code" == "$1" && "$printed" == "$expected" && -n "$printed" ]]; then
    echo "ok $command"
    passed=$((passed + 1))
  elif [[ "$update" == --update && "$code" == "$1" && -n "$printed" ]]; then
    echo "new $command"
    passed=$((passed + 1))
  else
    echo "FAIL $command: exit code $code, expected $1"
    diff <(echo "$expected") <(echo "$printed") || true
    failed=$((failed + 1))
  fi
}

# The page is read line by line; `out` becomes the page with what was printed now.
out="$work/page" inside=0 document=0
: >"$out"
while IFS= read -r line; do
  if ((!inside)); then
    [[ "$line" != '```console' ]] || inside=1
    echo "$line" >>"$out"
  elif ((document)); then
    command+=$'\n'"$line"
    [[ "$line" != END ]] || document=0
    echo "$line" >>"$out"
  elif [[ "$line" == '```' || "$line" == '$ '* ]]; then
    prepare
    expected=''
    if [[ "$line" == '```' ]]; then inside=0; else command=${line#'$ '}; fi
    [[ "$command" != *'<<END' ]] || document=1
    echo "$line" >>"$out"
  elif [[ "$line" =~ ^\[exit\ code\ ([0-9]+)\]$ ]]; then
    check "${BASH_REMATCH[1]}"
    printf '%s\n%s\n' "$printed" "$line" >>"$out"
    command='' expected=''
  else
    expected+=${expected:+$'\n'}$line
  fi
done <"$page"

[[ "$update" != --update ]] || cp "$out" "$page"
mkdir -p "${results%/*}"
printf '{\n  "tests": %d,\n  "failures": %d,\n  "disabled": %d,\n  "errors": 0\n}\n' \
  $((passed + failed + skipped)) "$failed" "$skipped" >"$results"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
