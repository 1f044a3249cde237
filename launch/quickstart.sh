#!/usr/bin/env bash
# From a fresh clone to a trained GPT: set up, build, fetch Shakespeare, train 2,000 steps on a mesh of
# 2 (data) x 2 (tensor) x 2 (pipeline) x 2 (sequence) = 16 ranks, all of them threads of one process.
#   launch/quickstart.sh           what is done already is not done again
#   launch/quickstart.sh --again   train again, though the run is finished
set -Eeuo pipefail
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ORTHANT_HOME"

AGAIN=0
case "${1:-}" in
  '') ;;
  --again) AGAIN=1 ;;
  -h | --help) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
  *) fail 2 "unknown option $1" "usage: launch/quickstart.sh [--again]" ;;
esac

RUN=runs/shakespeare
DATA=data/shakespeare
ORTHANT=build/release/orthant

# finished: the run's metrics reach its last step.
finished() {
  local last want
  [[ -s $RUN/metrics.jsonl && -s $RUN/config.yaml ]] || return 1
  last=$(tail -n 1 $RUN/metrics.jsonl | sed -n 's/.*"step": *\([0-9]*\).*/\1/p')
  want=$(sed -n 's/^.*steps: *\([0-9]*\).*/\1/p' $RUN/config.yaml | head -n 1)
  [[ -n "$last" && -n "$want" ]] && ((last >= want))
}

# The validation losses of a run, one bar each, and the end of its samples.
show_result() {
  step "$RUN: validation loss"
  sed -n 's/.*"step": *\([0-9]*\).*"val_loss": *\([0-9.]*\).*/\1 \2/p' $RUN/metrics.jsonl | awk '
    { step[NR] = $1; loss[NR] = $2; if ($2 > top) top = $2 }
    END {
      for (i = 1; i <= NR; i++) {
        bar = sprintf("%*s", int(50 * loss[i] / top + 0.5), ""); gsub(/ /, "#", bar)
        printf "    step %6d  %7.4f  %s\n", step[i], loss[i], bar
      }
    }'
  show_sample
}

show_sample() {
  [[ -s $RUN/samples.txt ]] || return 0
  step "The last sample of $RUN/samples.txt"
  awk '/^--- step / { text = "" } { text = text "    " $0 "\n" } END { printf "%s", text }' $RUN/samples.txt
}

what_next() {
  cat <<TEXT

Next:
  the same curve on other meshes  $ORTHANT train configs/shakespeare.yaml run.dir=runs/one parallel.data=1 parallel.tensor=1 parallel.pipeline=1 parallel.sequence=1
  proof for every mesh            $ORTHANT verify configs/verify.yaml --max-ranks 16
  as MPI processes                mpirun -n 16 --oversubscribe $ORTHANT train configs/shakespeare.yaml run.dir=runs/mpi
  your own text                   $ORTHANT data prepare --input FILE --tokenizer char --output data/mine
  the tests                       ./tests/run.sh
  this run again                  ./launch/quickstart.sh --again
TEXT
}

if ((!AGAIN)) && finished; then
  show_result
  note "The run was finished before: nothing was trained now."
  what_next
  exit 0
fi

./launch/setup.sh
step "Build, preset release"
TESTS=()
find_config GTest >/dev/null || TESTS=(-DORTHANT_TESTS=OFF)
build_preset release orthant ${TESTS[@]+"${TESTS[@]}"}

if [[ ! -e $DATA/data.json ]]; then
  step "Shakespeare's works, as characters, into $DATA"
  $ORTHANT data prepare --corpus shakespeare --output $DATA || fail $? "the corpus could not be prepared" \
    "Without the network, any text of some 100 KB or more will do:" \
    "  $ORTHANT data prepare --input FILE.txt --tokenizer char --output $DATA" \
    "then launch/quickstart.sh again."
fi

step "Training: 16 ranks as threads, configs/shakespeare.yaml"
FROM=latest # a run that was stopped goes on
((AGAIN)) && FROM=never
$ORTHANT train configs/shakespeare.yaml checkpoint.resume=$FROM || fail $? "training ended early" \
  "The message above says why; docs/failures.md explains each. launch/quickstart.sh goes on from the last checkpoint."
show_sample
what_next
