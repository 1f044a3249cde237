#!/usr/bin/env bash
# A qsub for tests: runs a PBS script at once, with PBS' environment and node file, on hosts that are this machine under
# the names in FAKE_PBS_HOSTS (as many as `select` asks for; default: its own name).
#   FAKE_PBS_DIR=DIR fake_qsub.sh SCRIPT       leaves DIR/JOB.nodes, DIR/JOB.out, and DIR/JOB.code once the job has ended
# What a script may ask for: -l select=N[:...]:mpiprocs=M. Each job's number is one more than the last one's.
set -euo pipefail
script=$1
directives=$(grep '^#PBS ' "$script" || true)
chunk=$(sed -n 's/^#PBS -l select=//p' <<<"$directives")
nodes=${chunk%%:*}
ranks=$(grep -o 'mpiprocs=[0-9]*' <<<"$chunk" | cut -d= -f2 || true)
read -ra hosts <<<"${FAKE_PBS_HOSTS:-$(hostname)}"
if ((nodes > ${#hosts[@]})); then
  echo "qsub: Job exceeds queue and/or server resource limits" >&2
  exit 188
fi
number=$(($(cat "$FAKE_PBS_DIR/last" 2>/dev/null || echo 0) + 1))
echo "$number" >"$FAKE_PBS_DIR/last"
job="$FAKE_PBS_DIR/$number"
for host in "${hosts[@]:0:nodes}"; do
  for ((i = 0; i < ${ranks:-1}; i++)); do echo "$host"; done
done >"$job.nodes"
export PBS_JOBID=$number.fake PBS_NODEFILE=$job.nodes PBS_ENVIRONMENT=PBS_BATCH PBS_O_WORKDIR=$PWD
# The script runs on the first host; under a name of its own where this machine plays several.
start=(bash "$script")
if ((nodes > 1)); then start=(unshare --uts sh -c "hostname ${hosts[0]} && exec bash \"\$0\"" "$script"); fi
(
  code=0
  "${start[@]}" >"$job.out" 2>&1 || code=$?
  echo "$code" >"$job.code"
) </dev/null >/dev/null 2>&1 &
echo "$PBS_JOBID"
