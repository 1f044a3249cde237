#!/usr/bin/env bash
# `orthant sweep`: cases as processes and as jobs, illegal and failing ones, Ctrl-C, a kill and a second start, wrong files,
# and the page.
#   sweep_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
home="$(cd "$here/../.." && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the files, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"
export OMP_NUM_THREADS=1
# Root in a container: OpenMPI wants to be told, and its single-copy transfer wants ptrace.
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

sweep_file=$work/sweep.yaml
cat >"$sweep_file" <<END
sweep: {name: small, dir: $work/small, run: run.yaml, ranks: [1, 2, 4], calibration: measure}
list:
  - {name: data}
  - {name: zero-3, parallel.zero: 3}
  - {name: pipeline, fill: pipeline}   # 4 stages of 3 layers: illegal
END

# states FOLDER: "NAME STATE" a line.
states() {
  python3 -c 'import json, sys; [print(c["name"], c["state"]) for c in json.load(open(sys.argv[1]))["cases"]]' "$1/sweep.json"
}

dry_run_judges() {
  "$binary" sweep "$sweep_file" --dry-run --format json >"$work/dry.json" || return 1
  [[ ! -e "$work/small" ]] || return 1
  python3 - "$work/dry.json" <<'END2'
import json, sys
cases = {c["name"]: c for c in json.load(open(sys.argv[1]))["cases"]}
assert len(cases) == 9, list(cases)
bad = [name for name, case in cases.items() if case["state"] != "waiting"]
assert bad == ["pipeline-r4"], bad
assert cases["pipeline-r4"]["state"] == "illegal" and cases["pipeline-r4"]["exit_code"] == 2
assert "parallel.pipeline" in cases["pipeline-r4"]["error"], cases["pipeline-r4"]
END2
}

# Ctrl-C in the middle: the case under way saves and ends, and the same command goes on.
interrupted_and_resumed() {
  local code=0 waited=0
  "$binary" sweep "$sweep_file" >"$work/first.out" 2>"$work/first.err" &
  local sweeper=$!
  until grep -qs 'data-r1: done' "$work/first.err"; do
    sleep 0.1
    waited=$((waited + 1))
    ((waited < 3000)) || { kill -TERM "$sweeper" && cat "$work/first.err" && return 1; }
  done
  kill -TERM "$sweeper"
  wait "$sweeper" || code=$?
  [[ "$code" == 7 ]] || { echo "exit code $code" && cat "$work/first.err" && return 1; }
  grep -q 'the same command goes on' "$work/first.err" || return 1
  grep -q '^data-r1 done' <<<"$(states "$work/small")" || return 1
  "$binary" sweep "$sweep_file" >"$work/second.out" 2>"$work/second.err" || { cat "$work/second.err" && return 1; }
  ! grep -q 'data-r1:' "$work/second.err" || { echo "a case ran again" && return 1; }
  grep -q '9 cases: 1 illegal, 8 done' "$work/second.out" || { cat "$work/second.out" && return 1; }
}

done_starts_nothing() {
  cp "$work/small/data-r2/metrics.jsonl" "$work/before.jsonl"
  "$binary" sweep "$sweep_file" >"$work/third.out" 2>"$work/third.err" || return 1
  [[ ! -s "$work/third.err" ]] || { cat "$work/third.err" && return 1; }
  cmp "$work/before.jsonl" "$work/small/data-r2/metrics.jsonl" || return 1
  (cd "$work" && "$binary" sweep sweep.yaml >"$work/third.out" 2>"$work/third.err") || { cat "$work/third.err" && return 1; }
}

# starts_killed NAME: a sweep of one long case, killed with -9 in the middle.
starts_killed() {
  local sweeper waited=0
  cat >"$work/$1.yaml" <<END
sweep: {name: $1, dir: $work/$1, run: run.yaml}
list: [{name: long, train.steps: 300, evaluate.every: 100}]
END
  "$binary" sweep "$work/$1.yaml" >"$work/$1.out" 2>"$work/$1.err" &
  sweeper=$!
  until [[ -e "$work/$1/long/metrics.jsonl" ]] && (($(wc -l <"$work/$1/long/metrics.jsonl") >= 3)); do
    sleep 0.05
    waited=$((waited + 1))
    if ((waited > 2400)) || ! kill -0 "$sweeper"; then cat "$work/$1.err" && return 1; fi
  done
  kill -9 "$sweeper"
  wait "$sweeper" 2>/dev/null || true
  [[ "$(states "$work/$1")" == "long running" ]]
}

# Its case is told to stop, and may still save when the next sweep begins.
killed_and_resumed() {
  starts_killed killed || return 1
  "$binary" sweep "$work/killed.yaml" >"$work/killed.out" 2>"$work/killed.err" || { cat "$work/killed.err" && return 1; }
  [[ "$(states "$work/killed")" == "long done" ]] || { states "$work/killed" && return 1; }
  [[ "$(grep -c '^=== ' "$work/killed/long.log")" == 2 ]] || { cat "$work/killed/long.log" && return 1; }
}

held_folder_is_waited_for() {
  local holder
  starts_killed held || return 1
  flock "$work/held/long/lock" sleep 4 & # once the case has let go of it
  holder=$!
  until pgrep -P "$holder" -x sleep >/dev/null; do sleep 0.05; done
  "$binary" sweep "$work/held.yaml" >"$work/held.out" 2>"$work/held.err" || { cat "$work/held.err" && return 1; }
  grep -q 'long: waits for its last start to save and end' "$work/held.err" || { cat "$work/held.err" && return 1; }
  [[ "$(states "$work/held")" == "long done" ]]
}

# look CODE STATE NUMBER [OPTION...]: one more look at the sweep of jobs: its exit code, the case's state and job.
look() {
  local code=0
  PATH="$work/slurm:$PATH" "$binary" sweep "$work/jobs.yaml" "${@:4}" >"$work/jobs.out" 2>"$work/jobs.err" || code=$?
  python3 - "$work/jobs/sweep.json" "$2" "$3" <<'END2' || { cat "$work/jobs.err" && return 1; }
import json, sys
case = json.load(open(sys.argv[1]))["cases"][0]
assert [case["state"], case["job"]] == sys.argv[2:], case
END2
  [[ "$code" == "$1" ]] || { echo "exit code $code" && cat "$work/jobs.err" && return 1; }
}

# run_ended OUTCOME CODE: what the job's run writes at its end.
run_ended() {
  python3 - "$work/jobs/one" "$1" "$2" <<'END2'
import json, os, sys
folder, outcome, code = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.makedirs(folder, exist_ok=True)
path = folder + "/starts.json"
starts = json.load(open(path))["starts"] if os.path.exists(path) else []
starts.append({"end": {"outcome": outcome, "exit_code": code, "message": ""}})
json.dump({"format": 1, "starts": starts}, open(path, "w"))
END2
}

# An imitated SLURM: sbatch counts, squeue says what stands in the file `queue`.
jobs_are_settled() {
  mkdir "$work/slurm"
  cat >"$work/slurm/sbatch" <<END
#!/bin/sh
echo >>"$work/slurm/count"
echo "Submitted batch job \$(wc -l <"$work/slurm/count")"
END
  printf '#!/bin/sh\ncat "%s/queue"\n' "$work/slurm" >"$work/slurm/squeue"
  chmod +x "$work/slurm/sbatch" "$work/slurm/squeue"
  cat >"$work/jobs.yaml" <<END
sweep:
  {name: jobs, dir: $work/jobs, run: run.yaml, backend: submit, arguments: '--time 10 --scheduler slurm --template "$home/launch/slurm.sbatch"'}
list: [{name: one}]
END
  echo PENDING >"$work/slurm/queue"
  look 0 submitted 1 || return 1
  look 0 submitted 1 || return 1 # queued: it is not submitted again
  : >"$work/slurm/queue"
  look 1 failed 1 || return 1 # cancelled before its run began
  grep -q 'job 1 is gone, and its run never began' "$work/jobs/sweep.json" || return 1
  echo PENDING >"$work/slurm/queue"
  look 0 submitted 2 --retry-failed || return 1
  : >"$work/slurm/queue"
  run_ended failed 6
  look 6 failed 2 || return 1
  echo PENDING >"$work/slurm/queue"
  look 0 submitted 3 --retry-failed || return 1
  look 0 submitted 3 || return 1 # the end on record is not of this job
  run_ended stopped 7
  look 0 submitted 3 || return 1 # saved at its time limit and queued again by itself
  # Not queued again: it is interrupted, and so submitted once more, with a look at the queue before.
  : >"$work/slurm/queue"
  look 0 submitted 4 || return 1
  run_ended "done" 0
  look 0 "done" 4
}

# A typing mistake in sweep.arguments is told once, before any case.
arguments_are_tried() {
  fails_with 2 "no case can start" env PATH="$work/slurm:$PATH" "$binary" sweep "$work/jobs.yaml" sweep.dir="$work/tried" \
    sweep.arguments='--time 10 --tmplate x' && [[ ! -e "$work/tried/sweep.json" ]]
}

# Ranks as processes, one too.
processes() {
  cat >"$work/processes.yaml" <<END
sweep: {name: processes, dir: $work/processes, run: run.yaml, ranks: [1, 2], backend: mpirun}
list: [{name: data}]
END
  "$binary" sweep "$work/processes.yaml" >"$work/processes.out" 2>"$work/processes.err" || { cat "$work/processes.err" && return 1; }
  [[ "$(states "$work/processes")" == $'data-r1 done\ndata-r2 done' ]] || { states "$work/processes" && return 1; }
  [[ "$(grep -l 'mpi backend' "$work/processes/"*.log | wc -l)" == 2 ]] || { cat "$work/processes/"*.log && return 1; }
}

# Every plot has something in it, and its numbers are those of the runs.
page_has_every_plot() {
  "$binary" report "$work/small" --svg "$work/svg" --output "$work/sweep.html" >"$work/out" || return 1
  python3 - "$work" <<'END2'
import html.parser, json, os, statistics, sys, xml.dom.minidom as dom
work = sys.argv[1]
text = open(work + "/sweep.html").read()
assert "Nothing to draw" not in text
names = ["efficiency", "memory-by-zero", "mfu", "predicted-memory", "predicted-time", "speed-up", "step-time", "throughput"]
assert sorted(os.listdir(work + "/svg")) == [n + ".svg" for n in names], os.listdir(work + "/svg")
for name in names:
    assert dom.parse(f"{work}/svg/{name}.svg").documentElement.tagName == "svg"
    assert f'id="{name}"' in text, name
class Cells(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.inside, self.rows, self.cell = False, [], None
    def handle_starttag(self, tag, attrs):
        if tag == "table": self.inside = dict(attrs).get("id") == "cases-table"
        if self.inside and tag == "tr": self.rows.append([])
        if self.inside and tag == "td": self.rows[-1].append("")
    def handle_data(self, data):
        if self.inside and self.rows and self.rows[-1] and data.strip(): self.rows[-1][-1] += data
cells = Cells()
cells.feed(text)
rows = {row[0]: row for row in cells.rows if row}
assert len(rows) == 9, list(rows)
for name, row in rows.items():
    if row[2] != "done": continue
    dts = [json.loads(line)["dt"] for line in open(f"{work}/small/{name}/metrics.jsonl")]
    assert float(row[4]) == statistics.median(dts[1:]), (name, row[4], dts)
    assert float(row[8]) > 0 and float(row[9]) > 0, row
END2
}

# A case that fails is recorded; the others run; --retry-failed starts it again.
failure_is_recorded() {
  cat >"$work/failing.yaml" <<END
sweep: {name: failing, dir: $work/failing, run: run.yaml}
list:
  - {name: broken, fault.inject: ["nan step=3 phase=forward"]}
  - {name: fine}
END
  fails_with 6 "1 of 2 cases failed: broken" "$binary" sweep "$work/failing.yaml" || return 1
  [[ "$(states "$work/failing")" == $'broken failed\nfine done' ]] || { states "$work/failing" && return 1; }
  fails_with 6 "--retry-failed" "$binary" sweep "$work/failing.yaml" || return 1
  python3 -c 'import json, sys; c = json.load(open(sys.argv[1]))["cases"][0]; assert c["starts"] == 1 and "loss nan" in c["error"], c' "$work/failing/sweep.json" || return 1
  fails_with 6 "broken" "$binary" sweep "$work/failing.yaml" --retry-failed --only broken || return 1
  python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["cases"][0]["starts"] == 2' "$work/failing/sweep.json" || return 1
  [[ "$(grep -c '^=== ' "$work/failing/broken.log")" == 2 ]] # what the first start printed is kept
}

# wrong TEXT YAML...: exit code 2 and what is said.
wrong() {
  local text=$1
  printf '%s\n' "${@:2}" >"$work/wrong.yaml"
  fails_with 2 "$text" "$binary" sweep "$work/wrong.yaml"
}

check "a dry run judges every case" dry_run_judges
check "interrupted, and resumed" interrupted_and_resumed
check "what is done starts nothing" done_starts_nothing
check "the page, every plot filled" page_has_every_plot
browser=$(command -v chromium || command -v google-chrome || true)
if [[ -n "$browser" ]]; then check "the page in a browser" opens_in_browser "$browser" "$work/sweep.html"; else skip "the page in a browser" "neither chromium nor google-chrome is on PATH"; fi
check "a failure is recorded and skipped" failure_is_recorded
if command -v flock >/dev/null && command -v pgrep >/dev/null; then
  check "killed with -9, and resumed at once" killed_and_resumed
  check "a folder that is held is waited for" held_folder_is_waited_for
else
  skip "killed with -9, and resumed" "flock or pgrep is not on PATH"
fi
check "jobs are settled by the queue and by their runs" jobs_are_settled
check "wrong arguments are told once" arguments_are_tried
if command -v mpirun >/dev/null; then check "ranks as processes" processes; else skip "ranks as processes" "mpirun is not on PATH"; fi
check "another sweep's folder" fails_with 2 "sweep.name was small and is other" "$binary" sweep "$sweep_file" sweep.name=other
check "an unknown case" fails_with 2 "did you mean data-r1?" "$binary" sweep "$sweep_file" --only data-r7
check "an unknown key" wrong "wrong.yaml:2: gird: a sweep has the keys" "sweep: {run: run.yaml}" "gird: {parallel.zero: [1]}"
check "an unknown key of a run" wrong "did you mean parallel.zero?" "sweep: {run: run.yaml}" "grid: {parallel.zro: [1]}"
check "a file cut short" wrong "wrong.yaml:" "sweep: {run: run.yaml, ranks: [1,"
check "two variants of one folder" wrong "would share the folder path-data_v1" "sweep: {run: run.yaml}" "grid: {data.path: [data/v1, data_v1]}"
check "jobs without a time limit" wrong "wants a time limit" "sweep: {run: run.yaml, backend: submit}"
check "threads measured for jobs" wrong "it measures this machine's threads" "sweep: {run: run.yaml, backend: mpirun, calibration: measure}"
check "a backend of one process" wrong "it keeps all ranks in one process" "sweep: {run: run.yaml, dir: $work/none, backend: mpirun}" "grid: {comm.backend: [local]}"
check "no such run" wrong "nowhere.yaml does not exist" "sweep: {run: nowhere.yaml}"
check "no legal case" wrong "no case is legal" "sweep: {run: run.yaml, dir: $work/illegal, ranks: [5]}"
head -c 300 "$work/small/sweep.json" >"$work/cut.json" && mv "$work/cut.json" "$work/small/sweep.json"
check "a record cut short" fails_with 5 "sweep.json" "$binary" sweep "$sweep_file"
check "the page of a record cut short" fails_with 5 "sweep.json" "$binary" report "$work/small"
finish
