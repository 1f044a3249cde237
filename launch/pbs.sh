#!/bin/bash
# Batch script of `orthant submit` for PBS. Copy it, edit it, and give --template FILE. A name between two @ stands
# for what `orthant submit` knows (docs/cluster.md lists the names), and a #PBS line without a value is left out.
#PBS -N @NAME@
#PBS -l select=@SELECT@
#PBS -l walltime=@TIME@
#PBS -q @QUEUE@
#PBS -A @ACCOUNT@
#PBS -o @OUTPUT@
#PBS -j oe
#PBS -r @REQUEUE@
@OPTIONS@

cd @FOLDER@ || exit 3
@SETUP@

# A signal to this shell goes to the run, which saves and ends with 7. PBS gives no warning before the time limit: the
# shell below does.
near_limit=0 signals=0 resubmit=@RESUBMIT@ warn_after=@WARN_AFTER@
trap 'near_limit=1; signals=$((signals + 1)); kill -s USR1 "$run" 2>/dev/null' USR1
trap 'signals=$((signals + 1)); kill -s TERM "$run" 2>/dev/null' TERM
@COMMAND@ &
run=$!
(until ((SECONDS >= warn_after)); do sleep 1; done && kill -s USR1 $$) >/dev/null 2>&1 &
warner=$!
# A trapped signal ends `wait` before the run has ended.
while true; do
  before=$signals
  wait "$run"
  code=$?
  ((signals == before)) && break
done
kill "$warner" 2>/dev/null
if ((code == 7 && near_limit && resubmit)); then
  echo "the time limit is near: the next job goes on from the last checkpoint"
  qsub @SCRIPT@
fi
exit "$code"
