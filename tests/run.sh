#!/usr/bin/env bash
# Builds Orthant and runs its tests, tier by tier: unit, multirank (ranks as threads), mpi, e2e (the binary), hosts
# (several hosts and a SLURM on this machine, docs/testing-hosts.md), cuda (the build for GPUs, where a CUDA toolkit is:
# it links, starts, and says what it lacks; on a machine with a GPU: tests/gpu/run.sh).
#   tests/run.sh                          every tier, preset release (tier cuda: preset cuda)
#   tests/run.sh --tier unit --tier mpi   only these tiers
#   tests/run.sh --preset cpu             another preset (cpu, release, asan, tsan)
#   tests/run.sh --sanitizers             presets asan and tsan, tiers unit and multirank
#   tests/run.sh --filter 'Mesh*'         only GoogleTest cases whose name matches (test.name patterns, ':' between)
#   tests/run.sh --programs 'unit\.mesh'  only test programs whose CTest name matches this regular expression
#   tests/run.sh --no-build               what is built already
# The last line is "N passed, N failed" (cases). Exit status: 0 all passed, 1 something failed or nothing ran,
# 2 usage, 3 a tool is missing.
set -Eeuo pipefail
# shellcheck source=../launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../launch/common.sh"
cd "$ORTHANT_HOME"

TIERS=() PRESETS=() FILTER='' PROGRAMS='' BUILD=1
usage() { fail 2 "$1" "usage: tests/run.sh --help"; }
while (($#)); do
  case "$1" in
    --tier | --preset | --filter | --programs) (($# > 1)) || usage "$1 wants a value" ;;&
    --tier) [[ " unit multirank mpi e2e hosts cuda " == *" $2 "* ]] || usage "no tier '$2': unit, multirank, mpi, e2e, hosts, cuda"
      TIERS+=("$2") && shift ;;
    --preset) [[ " release cpu cuda asan tsan " == *" $2 "* ]] || usage "no preset '$2': release, cpu, cuda, asan, tsan"
      PRESETS+=("$2") && shift ;;
    --sanitizers) PRESETS+=(asan tsan) ;;
    --filter) FILTER=$2 && shift ;;
    --programs) PROGRAMS=$2 && shift ;;
    --no-build) BUILD=0 ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) usage "unknown option $1" ;;
  esac
  shift
done
((${#PRESETS[@]})) || PRESETS=(release)

# Two at once would count each other's results. Only this shell holds the lock: what tests leave behind does not.
mkdir -p build
exec {LOCK}>build/.tests.lock
if has flock; then # any other status: a file system without locks
  flock --nonblock --conflict-exit-code 75 "$LOCK" || (($? != 75)) ||
    fail 1 "another tests/run.sh is at work in $ORTHANT_HOME" "Wait for its end, or use a clone of your own"
fi

PASSED=0 FAILED=0 SKIPPED=0 SUMMARY=()
BLOCKED=$(mktemp) # why a tier cannot run, as its own check says
trap 'rm -f "$BLOCKED"' EXIT

# Longest that a whole tier may take, in seconds; one program's limit is its CTest TIMEOUT.
tier_limit() {
  case "$1:$2" in
    *:asan | *:tsan) echo 3000 ;;
    unit:*) echo 600 ;;
    *) echo 1500 ;;
  esac
}

# Why a tier cannot run here; prints nothing when it can.
obstacle() {
  local tier=$1 preset=$2
  if [[ "$tier" == cuda ]]; then
    if ! has nvcc && [[ ! -x /usr/local/cuda/bin/nvcc && ! -x third_party/cuda/nvidia/cu13/bin/nvcc ]]; then
      echo "no CUDA toolkit here (nvcc); launch/setup.sh --cuda fetches one (docs/gpu.md)"
    elif ((!BUILD)) && [[ ! -e build/cuda/CTestTestfile.cmake ]]; then
      echo "build/cuda is not built (--no-build)"
    fi
  fi
  if [[ "$tier" == @(mpi|hosts) ]] && ! has mpirun; then echo "mpirun is not on PATH"; fi
  if [[ "$tier" == hosts ]] && ! python3 -B tests/hosts/hosts.py --check >"$BLOCKED" 2>&1; then sed 's/^skipped: //' "$BLOCKED"; fi
  if [[ "$preset" == [at]san && "$tier" == @(mpi|e2e|hosts) ]]; then echo "sanitizers run tiers unit and multirank only"; fi
}

# What the sanitizers need to know about libraries that are not built with them; each file says why.
sanitizer_environment() {
  local at="$ORTHANT_HOME/tests/sanitizers"
  export ASAN_OPTIONS="suppressions=$at/asan.supp:detect_stack_use_after_return=1:strict_init_order=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
  export LSAN_OPTIONS="suppressions=$at/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
  export TSAN_OPTIONS="suppressions=$at/tsan.supp:halt_on_error=0:second_deadlock_stack=1:history_size=4${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
}

# cases DIR: "PASSED FAILED SKIPPED" over GoogleTest's JSON files in DIR.
cases() {
  find "$1" -name '*.json' -exec awk '
    FNR == 1 { head = 4 }
    head && /"(tests|failures|disabled|errors)": [0-9]+/ {
      number = $2 + 0
      if ($1 ~ /tests/) tests += number
      else if ($1 ~ /disabled/) skipped += number
      else failed += number
      head--
    }
    /"result": "SKIPPED"/ { skipped++ }
    END { print tests - failed - skipped, failed + 0, skipped + 0 }' {} + | awk '
    { for (i = 1; i <= 3; i++) sum[i] += $i } END { print sum[1] + 0, sum[2] + 0, sum[3] + 0 }'
}

# A program may fail outside its cases (crash, time limit, sanitizer report at exit), and scripts have none at all:
# each such program counts as one case.
count_programs() {
  local results=$1 junit=$2 name status file
  while IFS=$'\t' read -r name status; do
    file="$results/$name.json"
    case "$status" in
      run) [[ -e "$file" ]] || PASSED=$((PASSED + 1)) ;;
      fail)
        if [[ ! -e "$file" ]] || ! grep -qE '"failures": [1-9]' "$file"; then
          FAILED=$((FAILED + 1))
          note "$name failed as a whole (no case says so): build/$PRESET/test-results/$TIER.log"
        fi ;;
      missing)
        FAILED=$((FAILED + 1))
        note "$name is not built" ;;
      *) SKIPPED=$((SKIPPED + 1)) ;;
    esac
  done < <(awk '
    match($0, /<testcase name="[^"]*"/) {
      name = substr($0, RSTART + 16, RLENGTH - 17)
      match($0, /status="[^"]*"/)
      status = substr($0, RSTART + 8, RLENGTH - 9)
    }
    /<skipped message="Unable to find executable/ { status = "missing" }
    /<\/testcase>/ { print name "\t" status }' "$junit")
}

run_tier() {
  local began=$SECONDS status=0 limit reason results="build/$PRESET/test-results" log p f s
  local before=$((PASSED + FAILED)) before_failed=$FAILED
  local -a launch=() select=()
  reason=$(obstacle "$TIER" "$PRESET")
  if [[ -n "$reason" ]]; then
    SUMMARY+=("$(printf '%-8s %-10s not run: %s' "$PRESET" "$TIER" "$reason")")
    return 0
  fi
  step "tier $TIER, preset $PRESET"
  limit=$(tier_limit "$TIER" "$PRESET")
  log="$ORTHANT_HOME/$results/$TIER.log"
  rm -rf "$results"/*.json "$results/$TIER".*
  mkdir -p "$results"
  [[ -n "$PROGRAMS" ]] && select=(-R "$PROGRAMS")
  # ThreadSanitizer's shadow memory wants the old address layout: without setarch it may abort at start.
  if [[ "$PRESET" == tsan ]] && setarch "$(uname -m)" -R true 2>/dev/null; then launch=(setarch "$(uname -m)" -R); fi
  (
    [[ "$TIER" == e2e ]] || export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # ranks are the threads
    [[ -z "$FILTER" ]] || export GTEST_FILTER="$FILTER"
    [[ "$PRESET" != [at]san ]] || sanitizer_environment
    # Root in a container: OpenMPI wants to be told, and its single-copy transfer wants ptrace.
    [[ $EUID -ne 0 ]] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
    exec {LOCK}>&-
    exec timeout --kill-after=20 "$limit" "${launch[@]}" ctest --test-dir "build/$PRESET" --label-regex "^$TIER\$" \
      "${select[@]}" --output-on-failure --no-tests=ignore --parallel "$(test_jobs)" \
      --output-junit "$ORTHANT_HOME/$results/$TIER.xml" --output-log "$log"
  ) >"$ORTHANT_HOME/$results/$TIER.out" 2>&1 || status=$?
  # The failed programs' output, then CTest's own lines.
  if ((status)); then cat "$ORTHANT_HOME/$results/$TIER.out"; else grep -E ' Test +#' "$ORTHANT_HOME/$results/$TIER.out" || true; fi
  read -r p f s < <(cases "$results")
  PASSED=$((PASSED + p)) FAILED=$((FAILED + f)) SKIPPED=$((SKIPPED + s))
  if [[ -s "$results/$TIER.xml" ]]; then count_programs "$results" "$results/$TIER.xml"; fi
  if ((status == 124 || status == 137)); then
    FAILED=$((FAILED + 1))
    note "tier $TIER was stopped after $(seconds "$limit")"
  elif ((status != 0 && FAILED == before_failed)); then
    FAILED=$((FAILED + 1))
    note "CTest ended with status $status"
  fi
  f=$((FAILED - before_failed))
  p=$((PASSED + FAILED - before - f))
  if ((p + f == 0)); then
    SUMMARY+=("$(printf '%-8s %-10s nothing to run%s' "$PRESET" "$TIER" "${FILTER:+ with --filter}${PROGRAMS:+ with --programs}")")
  else
    SUMMARY+=("$(printf '%-8s %-10s %5d passed %4d failed   %s' "$PRESET" "$TIER" "$p" "$f" "$(seconds $((SECONDS - began)))")")
  fi
}

# Programs of tier multirank and mpi bring a thread or process per rank: one program at a time.
test_jobs() { if [[ "$TIER" == @(unit|e2e) ]]; then nproc 2>/dev/null || echo 2; else echo 1; fi; }

# The build for GPUs, as far as any machine can check it: few targets, and most of their objects are those of the
# other presets, from the compiler cache.
run_cuda() {
  local reference=build/release/orthant
  PRESET=cuda TIER=cuda
  if [[ -z "$(obstacle cuda cuda)" ]] && ((BUILD)); then
    ./launch/setup.sh --cuda
    step "Build, preset cuda"
    [[ -x "$reference" ]] || reference=''
    build_preset cuda 'orthant unit_device gpu_tests' -DORTHANT_TESTS=ON -DORTHANT_WERROR=ON -DORTHANT_BENCHMARKS=OFF \
      "-DORTHANT_REFERENCE=${reference:+$ORTHANT_HOME/$reference}"
  fi
  run_tier
}

if ((BUILD)); then
  ./launch/setup.sh
  find_config GTest >/dev/null || fail 3 "GoogleTest is missing: the tests cannot be built" "./launch/setup.sh --check says how to get it"
fi
for PRESET in "${PRESETS[@]}"; do
  if [[ "${TIERS[*]:-}" == cuda ]]; then continue; fi
  if ((BUILD)); then
    if [[ "$PRESET" == cuda ]]; then ./launch/setup.sh --cuda; fi
    step "Build, preset $PRESET"
    build_preset "$PRESET" '' -DORTHANT_TESTS=ON -DORTHANT_WERROR=ON
  fi
  [[ -e "build/$PRESET/CTestTestfile.cmake" ]] || fail 3 "build/$PRESET holds no tests" "Run without --no-build"
  if ((${#TIERS[@]})); then TODO=("${TIERS[@]}"); elif [[ "$PRESET" == [at]san ]]; then TODO=(unit multirank); else TODO=(unit multirank mpi e2e hosts); fi
  for TIER in "${TODO[@]}"; do
    if [[ "$TIER" != cuda ]]; then run_tier; fi
  done
done
if [[ " ${TIERS[*]:-} " == *" cuda "* ]] || { ((${#TIERS[@]} == 0)) && [[ "${PRESETS[*]}" == release ]]; }; then run_cuda; fi

step "Summary"
for line in "${SUMMARY[@]}"; do note "$line"; done
((SKIPPED == 0)) || note "$SKIPPED skipped"
if ((PASSED + FAILED == 0)); then warn "no test ran"; fi
echo "$PASSED passed, $FAILED failed"
((FAILED == 0 && PASSED > 0))
