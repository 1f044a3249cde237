# Shared by the scripts of launch/ and tests/: messages, the build, and looking for what is installed. Sourced.
# shellcheck shell=bash

ORTHANT_HOME="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source=../third_party/pins.sh
source "$ORTHANT_HOME/third_party/pins.sh"

if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' PLAIN=''
fi

step() { printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '    %s\n' "$*"; }
warn() { printf '%swarning:%s %s\n' "$RED" "$PLAIN" "$*" >&2; }

# fail CODE LINE...: the first line says what went wrong, the others what to do.
fail() {
  local code=$1 line
  shift
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "$1" >&2
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit "$code"
}

has() { command -v "$1" >/dev/null 2>&1; }

# at_least 3.25.1 3.22
at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

seconds() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# How many compilers at once: one a core, and 2 GiB of memory each (LibTorch's headers are large).
build_jobs() {
  local cores mib by_memory
  cores=$(nproc 2>/dev/null || echo 2)
  mib=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo 2>/dev/null || true)
  by_memory=$((${mib:-4096} / 2048))
  ((by_memory < 1)) && by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# ---- looking for what is installed ------------------------------------------------------------------------------

# The prefixes that CMake looks in: CMAKE_PREFIX_PATH, the folders above PATH's bin/, the system's.
prefixes() {
  local dir
  {
    tr ':;' '\n' <<<"${CMAKE_PREFIX_PATH:-}"
    tr ':' '\n' <<<"$PATH" | sed -n 's#/s\{0,1\}bin/*$##p'
    printf '%s\n' /usr/local /usr
  } | while IFS= read -r dir; do [[ -n "$dir" ]] && printf '%s\n' "$dir"; done | awk '!seen[$0]++'
}

# find_config NAME: "VERSION FOLDER" of the CMake package NAME, as find_package(NAME CONFIG) would find it.
find_config() {
  local name=$1 lower prefix file version variable="${1//-/_}_DIR"
  lower=$(tr '[:upper:]' '[:lower:]' <<<"$name")
  local -a found=()
  shopt -s nullglob nocaseglob
  [[ -n "${!variable:-}" ]] && found+=("${!variable}"/{"$name"Config,"$lower"-config}.cmake)
  while IFS= read -r prefix; do
    ((${#found[@]})) && break
    found+=("$prefix"/{lib/*-linux-*,lib64,lib,share}/cmake/"$name"*/{"$name"Config,"$lower"-config}.cmake)
  done < <(prefixes)
  shopt -u nullglob nocaseglob
  for file in "${found[@]}"; do
    [[ -e "$file" ]] || continue
    version=$(cat "${file%.cmake}"*ersion.cmake 2>/dev/null |
      sed -n 's/^ *set *(PACKAGE_VERSION "\{0,1\}\([0-9][0-9.]*\).*/\1/ip' | head -n 1)
    printf '%s %s\n' "${version:--}" "$(dirname "$file")"
    return 0
  done
  return 1
}

# torch_fit DIR: "VERSION" when DIR holds a LibTorch that Orthant can link; otherwise says why not, status 1.
torch_fit() {
  local dir=$1 version=''
  if [[ ! -e "$dir/lib/libtorch_cpu.so" || ! -e "$dir/include/ATen/ATen.h" ]]; then
    echo "no include/ATen/ATen.h or lib/libtorch_cpu.so in it"
    return 1
  fi
  if [[ -r "$dir/version.py" ]]; then
    version=$(sed -n "s/^__version__ = '\([^']*\)'.*/\1/p" "$dir/version.py")
  elif [[ -r "$dir/build-version" ]]; then
    version=$(head -n 1 "$dir/build-version")
  fi
  if [[ -n "$version" ]] && ! at_least "${version%%+*}" "$MIN_TORCH"; then
    echo "version $version, $MIN_TORCH or newer is needed"
    return 1
  fi
  if grep -q ENS_14SourceLocationESs "$dir/lib/libc10.so"; then
    echo "built with the C++ ABI from before GCC 5 (PyPI's wheels were, up to 2.5)"
    return 1
  fi
  echo "${version:--}"
}

# find_torch: looks for the LibTorch that the build will use, in the order of cmake/OrthantLibTorch.cmake.
# TORCH_FOUND gets "VERSION FOLDER", TORCH_REFUSED those that were seen and do not fit.
TORCH_REFUSED=() TORCH_FOUND=
# shellcheck disable=SC2034  # read by setup.sh
find_torch() {
  local dir answer
  local -a candidates=()
  if [[ -n "${ORTHANT_TORCH_ROOT:-}" ]]; then
    candidates+=("$ORTHANT_TORCH_ROOT")
  else
    while IFS= read -r dir; do
      [[ -n "$dir" ]] && candidates+=("$dir" "$dir/torch" "$dir/../.." "$dir/../../..")
    done < <(tr ':;' '\n' <<<"${CMAKE_PREFIX_PATH:-}")
    candidates+=("$ORTHANT_HOME/third_party/libtorch/torch")
    has python3 && candidates+=("$(python3 -c "import importlib.util as u, os
s = u.find_spec('torch')
print(os.path.dirname(s.origin) if s and s.origin else '')" 2>/dev/null || true)")
  fi
  for dir in "${candidates[@]}"; do
    [[ -n "$dir" && -e "$dir/lib/libtorch_cpu.so" ]] || continue
    if answer=$(torch_fit "$dir"); then
      TORCH_FOUND="$answer $(cd "$dir" && pwd)"
      return 0
    fi
    TORCH_REFUSED+=("$dir: $answer")
  done
  return 1
}

# ---- the build ---------------------------------------------------------------------------------------------------

# build_preset PRESET TARGETS [CMAKE_ARGUMENT...]: configures and builds; TARGETS is a list in one word, '' for all.
# The whole output is kept in build/PRESET/build.log.
build_preset() {
  local preset=$1 targets=$2 log="$ORTHANT_HOME/build/$1/build.log" jobs began
  shift 2
  local -a build=(cmake --build --preset "$preset")
  # Paths as seen from the build folder: presets that differ in little share the compiler cache.
  export CCACHE_BASEDIR="$ORTHANT_HOME"
  jobs=${ORTHANT_JOBS:-$(build_jobs)}
  began=$SECONDS
  mkdir -p "$ORTHANT_HOME/build/$preset"
  # A pinned compiler, generator or source folder of another machine makes CMake refuse: its own message says so.
  if ! (cd "$ORTHANT_HOME" && cmake --preset "$preset" "$@") >"$log" 2>&1; then
    build_failed "configuring preset $preset" "$log" \
      "Is something missing? ./launch/setup.sh --check" \
      "Left over from another compiler or machine? rm -r build/$preset, then again."
  fi
  # shellcheck disable=SC2206  # a list of target names
  [[ -n "$targets" ]] && build+=(--target $targets)
  if ! (cd "$ORTHANT_HOME" && NINJA_STATUS='[%f/%t] ' "${build[@]}" --parallel "$jobs") 2>&1 |
    tee -a "$log" | build_progress; then
    build_failed "building preset $preset" "$log" \
      "'Killed' or 'internal compiler error' above: too little memory; ORTHANT_JOBS=1 uses one compiler." \
      "'No space left' above: df -h ."
  fi
  note "build/$preset is ready ($(seconds $((SECONDS - began))), $jobs at a time; log: build/$preset/build.log)"
}

# Ninja's lines, as one moving line on a terminal, as a line each tenth elsewhere. Warnings and errors pass.
build_progress() {
  local terminal=0
  [[ -t 1 ]] && terminal=1
  awk -v terminal="$terminal" '
    /^\[[0-9]+\/[0-9]+\] / {
      split(substr($1, 2), at, "/")
      total = at[2] + 0
      if (terminal) {
        printf "\r\033[K    %s", substr($0, 1, 100); fflush(); moving = 1
      } else {
        tenth = int(10 * at[1] / (total > 0 ? total : 1))
        if (tenth > last) { print "    " $1 " built"; fflush(); last = tenth }
      }
      next
    }
    /^ninja: no work to do/ { next }
    { if (moving) { printf "\n"; moving = 0 } print "    " $0; fflush() }
    END { if (moving) printf "\r\033[K" }'
}

build_failed() {
  local what=$1 log=$2
  shift 2
  printf '\n---- the first errors, and the last lines, of %s\n' "${log#"$ORTHANT_HOME"/}" >&2
  grep -nE '(error|Error)[: ]|FAILED:|Killed' "$log" | cut -c 1-300 | head -n 8 >&2 || true
  echo ... >&2
  tail -n 25 "$log" | cut -c 1-300 >&2
  fail 1 "$what failed" "$@" "Whole log: $log"
}
