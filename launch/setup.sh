#!/usr/bin/env bash
# Makes a machine ready to build Orthant. Uses what is there first (environment modules, CMAKE_PREFIX_PATH, an
# existing LibTorch or PyTorch, packages) and installs only what is missing. Run it as often as you like.
#   launch/setup.sh            as root on Debian or Ubuntu: apt-get; LibTorch into third_party/libtorch
#   launch/setup.sh --check    only says what is there and what is missing
#   launch/setup.sh --cuda     also what the build for GPUs needs: libraries that the CUDA toolkit here lacks, or all
# Exit status: 0 ready, 3 something is missing and could not be installed here, 1 a step failed.
set -Eeuo pipefail
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

CHECK=0 CUDA=0
for option in "$@"; do
  case "$option" in
    --check) CHECK=1 ;;
    --cuda) CUDA=1 ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) fail 2 "unknown option $option" "usage: launch/setup.sh [--check] [--cuda]" ;;
  esac
done
# shellcheck source=setup_cuda.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_cuda.sh"

WHILE='starting'
PARTIAL=''
on_error() {
  local code=$?
  trap - ERR
  fail "$code" "launch/setup.sh stopped while $WHILE (line $1, status $code)" \
    "What was finished stays; run it again after mending the cause above." \
    "Every step by hand: docs/install.md"
}
trap 'on_error $LINENO' ERR
trap '[[ -z "$PARTIAL" ]] || rm -rf "$PARTIAL"' EXIT

# ---- what is there -----------------------------------------------------------------------------------------------

# One row each: need (build), test (tests only), host (tier hosts only) or nice; what; Debian and Ubuntu; Fedora and
# RHEL; module hints
THINGS=(
  "need|compiler|g++|gcc-c++|gcc/12 or newer"
  "need|cmake|cmake|cmake|cmake"
  "need|ninja|ninja-build|ninja-build|ninja"
  "need|mpi|libopenmpi-dev openmpi-bin|openmpi-devel|openmpi"
  "need|absl|libabsl-dev|abseil-cpp-devel|abseil-cpp"
  "need|yaml-cpp|libyaml-cpp-dev|yaml-cpp-devel|yaml-cpp"
  "need|nlohmann_json|nlohmann-json3-dev|json-devel|nlohmann-json"
  "need|spdlog|libspdlog-dev|spdlog-devel|spdlog"
  "need|CLI11|libcli11-dev|cli11-devel|cli11"
  "test|GTest|libgtest-dev libgmock-dev|gtest-devel gmock-devel|googletest"
  "test|benchmark|libbenchmark-dev|google-benchmark-devel|google-benchmark"
  "test|python3|python3 python3-pip|python3 python3-pip|python"
  "nice|liburing|liburing-dev|liburing-devel|liburing"
  "nice|ccache|ccache|ccache|ccache"
  "host|iproute2|iproute2|iproute|-"
  "host|slurm|slurmctld slurmd slurm-client munge|slurm-slurmctld slurm-slurmd slurm munge|-"
)

# find_thing NAME: "VERSION WHERE", or status 1 (with the reason on stdout, when there is one).
find_thing() {
  local name=$1 version
  case "$name" in
    compiler) find_compiler ;;
    cmake | ccache)
      has "$name" || return 1
      version=$("$name" --version 2>/dev/null | sed -n '1s/.*version *//p')
      if [[ "$name" == cmake ]] && ! at_least "$version" "$MIN_CMAKE"; then
        echo "version $version at $(command -v cmake), $MIN_CMAKE or newer is needed" && return 1
      fi
      echo "$version $(command -v "$name")"
      ;;
    python3) # fetches LibTorch and the corpus, and compares files in tests
      has python3 || return 1
      python3 -m pip --version >/dev/null 2>&1 || { echo "$(command -v python3) is there, its pip is not" && return 1; }
      echo "$(python3 -c 'import platform; print(platform.python_version())') $(command -v python3)"
      ;;
    ninja) has ninja && echo "$(ninja --version) $(command -v ninja)" ;;
    mpi) find_mpi ;;
    iproute2) has ip && echo "$(ip -V 2>/dev/null | sed 's/.*iproute2-\([^,]*\).*/\1/') $(command -v ip)" ;;
    slurm) find_slurm ;;
    liburing) find_liburing ;;
    *) find_config "$name" ;;
  esac
}

# CMake takes CXX, else c++, else g++.
find_compiler() {
  local cxx=${CXX:-} name version
  for name in c++ g++ clang++; do
    [[ -z "$cxx" ]] && has "$name" && cxx=$name
  done
  [[ -n "$cxx" ]] && has "$cxx" || return 1
  version=$("$cxx" -dumpfullversion -dumpversion 2>/dev/null | head -n 1)
  if "$cxx" --version 2>/dev/null | grep -qi clang; then
    version=$("$cxx" --version | sed -n '1s/.*version \([0-9.]*\).*/\1/p')
    at_least "$version" "$MIN_CLANG" || { echo "Clang $version, $MIN_CLANG or newer is needed (set CXX)" && return 1; }
  else
    at_least "$version" "$MIN_GCC" || { echo "GCC $version, $MIN_GCC or newer is needed (set CXX)" && return 1; }
  fi
  echo "$version $(command -v "$cxx")"
}

find_mpi() {
  local version=''
  if ! has mpicc; then
    # Many clusters install MPI where it is on PATH only once a module is loaded.
    has mpirun && echo "mpirun is there, mpicc is not: the development files are missing"
    return 1
  fi
  has mpirun && version=$(mpirun --version 2>/dev/null | sed -n '1s/[^0-9]*\([0-9][0-9.]*\).*/\1/p')
  echo "${version:--} $(command -v mpicc)"
}

# Daemons are not on everybody's PATH.
find_slurm() {
  local program
  local PATH="$PATH:/usr/sbin:/usr/local/sbin"
  for program in slurmctld slurmd munged sbatch; do
    has "$program" || { echo "optional: tests under a real SLURM ($program is missing)" && return 1; }
  done
  echo "$(slurmd -V 2>/dev/null | sed 's/^slurm[^ ]* *//') $(command -v slurmd)"
}

# It has no CMake package.
find_liburing() {
  local prefix header library version
  shopt -s nullglob
  while IFS= read -r prefix; do
    header="$prefix/include/liburing.h"
    for library in "$prefix"/{lib/*-linux-*,lib64,lib}/liburing.{so,a}; do
      [[ -e "$header" ]] || break
      version=$(sed -n 's/^Version: *//p' "$(dirname "$library")/pkgconfig/liburing.pc" 2>/dev/null)
      echo "${version:--} $library"
      shopt -u nullglob
      return 0
    done
  done < <(prefixes)
  shopt -u nullglob
  echo "optional: without it, threads read and write offloaded state"
  return 1
}

MISSING_NEED=() MISSING_TEST=() MISSING_NICE=() MISSING_HOST=() TORCH_FOUND=''
look() {
  local row kind name answer
  MISSING_NEED=() MISSING_TEST=() MISSING_NICE=() MISSING_HOST=() TORCH_FOUND='' TORCH_REFUSED=()
  printf '    %-14s %-20s %s\n' 'what' 'version' 'where'
  for row in "${THINGS[@]}"; do
    IFS='|' read -r kind name _ <<<"$row"
    if answer=$(find_thing "$name"); then
      printf '    %-14s %-20s %s\n' "$name" "${answer%% *}" "${answer#* }"
    else
      printf '    %-14s %s%-20s%s %s\n' "$name" "$RED" missing "$PLAIN" "$answer"
      case "$kind" in
        need) MISSING_NEED+=("$row") ;;
        test) MISSING_TEST+=("$row") ;;
        nice) MISSING_NICE+=("$row") ;;
        host) MISSING_HOST+=("$row") ;;
      esac
    fi
  done
  if find_torch; then
    printf '    %-14s %-20s %s\n' LibTorch "${TORCH_FOUND%% *}" "${TORCH_FOUND#* }"
  else
    printf '    %-14s %s%-20s%s\n' LibTorch "$RED" missing "$PLAIN"
  fi
  for answer in ${TORCH_REFUSED[@]+"${TORCH_REFUSED[@]}"}; do note "not used: LibTorch in $answer"; done
}

# ---- installing --------------------------------------------------------------------------------------------------

# packages COLUMN ROW...: the names in that column, on one line.
packages() {
  local column=$1 row
  shift
  for row in "$@"; do cut -d '|' -f "$column" <<<"$row"; done | tr '\n' ' '
}

APT_READY=0
apt_install() {
  local -a names
  read -ra names <<<"$*"
  apt_try "$@" || {
    tail -n 15 "$APT_LOG" >&2
    fail 3 "apt-get could not install: ${names[*]}" \
      "Needed are Debian 12, Ubuntu 24.04 or newer with their standard package sources, and the network." \
      "Another way, without apt: docs/install.md"
  }
}

# The same for what can be done without: status 1 when it cannot be installed.
apt_try() {
  local -a names
  read -ra names <<<"$*"
  export DEBIAN_FRONTEND=noninteractive
  if ((!APT_READY)); then
    WHILE='running apt-get update'
    step "apt-get update"
    apt-get update -qq || warn "apt-get update failed: trying with the package lists that are here"
    APT_READY=1
  fi
  WHILE="installing packages: $*"
  step "apt-get install ${names[*]}"
  apt-get install -y -qq --no-install-recommends "${names[@]}" >"$APT_LOG" 2>&1
}

# A pip that can download; installs one as root. Prints nothing.
need_pip() {
  python3 -m pip --version >/dev/null 2>&1 && return 0
  if ((CAN_APT)); then
    apt_install python3 python3-pip
  elif has python3; then
    WHILE='making a pip with ensurepip'
    mkdir -p "$WHEELS"
    python3 -m venv "$WHEELS/venv" >/dev/null 2>&1 && PATH="$WHEELS/venv/bin:$PATH"
  fi
  python3 -m pip --version >/dev/null 2>&1 || fail 3 "LibTorch is missing, and there is no pip to fetch it with" \
    "Load a Python module (module load python), or: python3 -m ensurepip --user" \
    "Or name a LibTorch or PyTorch that you have: export CMAKE_PREFIX_PATH=DIR (docs/install.md)"
}

sum_is() { [[ -f "$1" ]] && [[ "$(sha256sum "$1" | cut -d ' ' -f 1)" == "$2" ]]; }

# Fetches one pinned wheel into third_party/packages and checks its sum.
fetch_wheel() {
  local name=$1 version=$2 sum=$3 file=$4 platform
  local -a platforms=()
  sum_is "$WHEELS/$file" "$sum" && return 0
  rm -f "$WHEELS/$file"
  for platform in "${PIN_WHEEL_PLATFORMS[@]}"; do platforms+=(--platform "$platform"); done
  WHILE="downloading $name $version"
  note "downloading $name $version"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --no-cache-dir \
    --python-version "$PIN_TORCH_PYTHON" --implementation cp "${platforms[@]}" \
    --dest "$WHEELS" "$name==$version" || fail 3 "pip could not download $name $version" \
    "Does this machine reach a Python package index (proxy: https_proxy, mirror: PIP_INDEX_URL)?" \
    "Without the network: copy $file into third_party/packages/ from a machine that has it, then again," \
    "or name a LibTorch or PyTorch that you have: export CMAKE_PREFIX_PATH=DIR"
  sum_is "$WHEELS/$file" "$sum" || fail 1 "$file is not the file that third_party/pins.sh pins (sha256 $sum)" \
    "It was not used. Remove it (third_party/packages/) and try again; if it stays so, the index in use is at fault."
}

install_torch() {
  local pin name version sum file free machine
  machine=$(uname -m)
  [[ "$machine" == "$PIN_TORCH_ARCH" ]] || fail 3 "no LibTorch found, and none is pinned for $machine ($PIN_TORCH_ARCH only)" \
    "Install PyTorch $PIN_TORCH_VERSION for $machine (python3 -m venv ENV && ENV/bin/pip install torch==$PIN_TORCH_VERSION) and" \
    "export CMAKE_PREFIX_PATH=\$(ENV/bin/python -c 'import torch; print(torch.utils.cmake_prefix_path)'), then run this again."
  WHILE='preparing third_party/packages'
  mkdir -p "$WHEELS"
  step "LibTorch $PIN_TORCH_VERSION into third_party/libtorch (once: 545 MB to download, 1.2 GB unpacked)"
  free=$(df -Pm "$ORTHANT_HOME/third_party" | awk 'NR == 2 {print $4}')
  ((free >= PIN_DISK_MIB)) || fail 3 "$free MiB are free under $ORTHANT_HOME, $PIN_DISK_MIB are needed" \
    "Free some, or name a LibTorch or PyTorch that you have: export CMAKE_PREFIX_PATH=DIR"
  need_pip
  PARTIAL="$ORTHANT_HOME/third_party/packages/unpacking.$$"
  mkdir -p "$PARTIAL"
  for pin in "${PIN_WHEELS[@]}"; do
    read -r name version sum file <<<"$pin"
    fetch_wheel "$name" "$version" "$sum" "$file"
    WHILE="unpacking $file"
    python3 -m zipfile -e "$WHEELS/$file" "$PARTIAL"
  done
  WHILE='moving LibTorch into place'
  rm -rf "$ORTHANT_HOME/third_party/libtorch"
  mv "$PARTIAL" "$ORTHANT_HOME/third_party/libtorch"
  PARTIAL=''
  rm -rf "$WHEELS"
}

# What to do without root, for everything that is missing.
advise() {
  local row name hints
  printf '\nMissing here, and how to get it:\n'
  for row in "$@"; do
    IFS='|' read -r _ name _ _ hints <<<"$row"
    printf '  %-14s module load %s\n' "$name" "$hints"
  done
  (($#)) && cat <<TEXT
  or, by an administrator:
    Debian, Ubuntu   sudo apt-get install $(packages 3 "$@")
    Fedora, RHEL     sudo dnf install $(packages 4 "$@")
  or built anywhere (Spack, conda, by hand) and named: export CMAKE_PREFIX_PATH=DIR1:DIR2
TEXT
  if [[ -z "$TORCH_FOUND" ]]; then
    cat <<TEXT
  LibTorch       any LibTorch or PyTorch, $MIN_TORCH or newer:
    export CMAKE_PREFIX_PATH=\$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)')
    or, once the rest is there, run launch/setup.sh: with pip alone it puts $PIN_TORCH_VERSION into third_party/
TEXT
  fi
  echo "More: docs/install.md"
}

# ---- main --------------------------------------------------------------------------------------------------------

WHEELS="$ORTHANT_HOME/third_party/packages"
CAN_APT=0
if [[ $EUID -eq 0 ]] && has apt-get; then CAN_APT=1; fi
APT_LOG=$(mktemp)
trap '[[ -z "$PARTIAL" ]] || rm -rf "$PARTIAL"; rm -f "$APT_LOG"' EXIT

WHILE='looking for what is installed'
step "What Orthant builds with"
look
MISSING=(${MISSING_NEED[@]+"${MISSING_NEED[@]}"} ${MISSING_TEST[@]+"${MISSING_TEST[@]}"} ${MISSING_NICE[@]+"${MISSING_NICE[@]}"})

if ((CHECK)); then
  if ((${#MISSING_NEED[@]} == 0)) && [[ -n "$TORCH_FOUND" ]]; then
    if ((CUDA)); then setup_cuda; fi
    note "ready" && exit 0
  fi
  advise ${MISSING[@]+"${MISSING[@]}"}
  exit 3
fi

CHANGED=0
if ((${#MISSING[@]} && CAN_APT)); then
  apt_install "$(packages 3 "${MISSING[@]}")"
  CHANGED=1
fi
for row in ${MISSING_HOST[@]+"${MISSING_HOST[@]}"}; do # their tests are skipped where they cannot be had
  ((CAN_APT)) || break
  if apt_try "$(packages 3 "$row")"; then CHANGED=1; else warn "not installed, tests are skipped: $(packages 3 "$row")"; fi
done
if [[ -z "$TORCH_FOUND" ]] && { ((CAN_APT)) || ((${#MISSING_NEED[@]} == 0)); }; then
  install_torch
  CHANGED=1
fi
if ((CHANGED)); then
  WHILE='looking again'
  step "What Orthant builds with, now"
  look
fi

if ((${#MISSING_NEED[@]})) || [[ -z "$TORCH_FOUND" ]]; then
  advise "${MISSING[@]}"
  exit 3
fi
if ((${#MISSING_TEST[@]})); then
  note "Without $(packages 2 "${MISSING_TEST[@]}"), Orthant builds and runs; its tests do not, or not all."
fi
if ((${#MISSING_HOST[@]})); then note "Without $(packages 2 "${MISSING_HOST[@]}"), tests on several hosts or under SLURM are skipped."; fi
if ((CUDA)); then setup_cuda; fi
note "ready"
