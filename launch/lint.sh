#!/usr/bin/env bash
# Style: clang-format over C++ files, clang-tidy with --tidy, shellcheck over scripts where it is installed.
#   launch/lint.sh                  files that differ from the last commit, or are new
#   launch/lint.sh --all            every file
#   launch/lint.sh --fix            formats in place
#   launch/lint.sh --tidy [--all]   also clang-tidy (about 20 s a file that uses LibTorch), after a build
# Exit status: 0 clean, 1 something to mend, 77 clang-format 14 is not there (other versions format otherwise).
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ORTHANT_HOME"

ALL=0 FIX=0 TIDY=0
while (($#)); do
  case "$1" in
    --all) ALL=1 ;;
    --fix) FIX=1 ;;
    --tidy) TIDY=1 ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) fail 2 "unknown option $1" "usage: launch/lint.sh [--all] [--fix] [--tidy]" ;;
  esac
  shift
done

# skip REASON: what the test of tier unit shows.
skip() { echo "skipped: $1 (Debian 12: apt-get install clang-format)" && exit 77; }
has clang-format || skip "clang-format is not installed"
clang-format --version | grep -q 'version 14\.' || skip "$(clang-format --version) is not version 14"

# sources PATTERN...: tracked and new files, all of them or the changed ones.
sources() {
  if ((ALL)) || ! git rev-parse --git-dir >/dev/null 2>&1; then
    find include src tests examples launch third_party/*.sh .ci -type f 2>/dev/null || true
  else
    git diff --name-only --diff-filter=d HEAD
    git ls-files --others --exclude-standard
  fi | grep -E "$1" | sort -u || true
}

STATUS=0
mapfile -t CPP < <(sources '^(include|src|tests|examples)/.*\.(cpp|h)$')
if ((${#CPP[@]})); then
  if ((FIX)); then
    clang-format -i "${CPP[@]}"
  else
    # One line a file: where it first differs.
    ODD=$(for file in "${CPP[@]}"; do
      clang-format --dry-run -Werror --ferror-limit=1 "$file" 2>&1 | grep -m 1 'error:' || true
    done)
    if [[ -n "$ODD" ]]; then
      head -n 20 <<<"$ODD"
      note "$(wc -l <<<"$ODD") of ${#CPP[@]} files are not formatted; launch/lint.sh --all --fix formats them"
      STATUS=1
    fi
  fi
fi

mapfile -t SCRIPTS < <(sources '(\.sh|^\.ci/run)$')
if ((${#SCRIPTS[@]})); then
  for script in "${SCRIPTS[@]}"; do bash -n "$script" || STATUS=1; done
  if has shellcheck; then shellcheck "${SCRIPTS[@]}" || STATUS=1; fi
fi

if ((TIDY)); then
  has clang-tidy || fail 3 "clang-tidy is not installed" "Debian: apt-get install clang-tidy"
  DATABASE=''
  for preset in cpu release; do [[ -e build/$preset/compile_commands.json ]] && DATABASE=build/$preset; done
  [[ -n "$DATABASE" ]] || fail 3 "clang-tidy needs a configured build" "launch/build.sh release"
  mapfile -t UNITS < <(printf '%s\n' ${CPP[@]+"${CPP[@]}"} | grep '^src/.*\.cpp$' || true)
  # GCC's precompiled headers and -fpch-preprocess mean nothing to Clang: a database without them.
  CLEAN=$(mktemp -d)
  trap 'rm -rf "$CLEAN"' EXIT
  sed -E 's/-fpch-preprocess//g; s/-Winvalid-pch//g; s/-include [^ ]*cmake_pch\.hxx//g' \
    "$DATABASE/compile_commands.json" >"$CLEAN/compile_commands.json"
  if ((${#UNITS[@]})); then
    printf '%s\0' "${UNITS[@]}" | xargs -0 -n 1 -P "$(build_jobs)" clang-tidy --quiet -p "$CLEAN" || STATUS=1
  fi
fi

note "${#CPP[@]} C++ files and ${#SCRIPTS[@]} scripts looked at"
exit "$STATUS"
