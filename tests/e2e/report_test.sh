#!/usr/bin/env bash
# `orthant report` and `orthant watch` on real runs: the page's numbers, a browser without a window where there is one,
# timelines, TensorBoard where it is installed, damaged folders.
#   report_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the files, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"
export OMP_NUM_THREADS=1

page_of_one() {
  "$binary" report "$work/runs/mesh" >"$work/out" || return 1
  grep -q "^wrote $work/runs/mesh/report.html$" "$work/out" || return 1
  python3 "$here/report_page.py" "$work/runs/mesh/report.html" "$work/runs/mesh"
}

page_of_two() {
  "$binary" report "$work/runs/mesh" "$work/runs/one" --output "$work/both.html" >"$work/out" || return 1
  python3 "$here/report_page.py" "$work/both.html" "$work/runs/mesh" "$work/runs/one"
}

trace_is_whole() {
  python3 - "$work/runs/$1/trace/step_00000002.json" 8 <<'END2'
import json, sys
trace, ranks = json.load(open(sys.argv[1])), int(sys.argv[2])
events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
assert {e["pid"] for e in events} == set(range(ranks)), {e["pid"] for e in events}
assert {e["args"]["step"] for e in events} == {2, 3}
rows = {}
for e in events:
    rows.setdefault((e["pid"], e["tid"]), []).append((e["ts"], e["ts"] + e["dur"], e["name"]))
for row, spans in rows.items():  # one row's events are apart or nested, or Perfetto drops some
    open_until = []
    for begin, end, name in sorted(spans, key=lambda s: (s[0], -s[1])):
        while open_until and open_until[-1] <= begin + 1e-3:
            open_until.pop()
        assert not open_until or end <= open_until[-1] + 1e-3, (row, name, begin, end, open_until[-1])
        open_until.append(end)
for rank in range(ranks):
    actions = [e for e in events if e["pid"] == rank and e["cat"] == "compute"]
    assert sorted(e["args"]["action"] for e in actions) == ["backward"] * 8 + ["forward"] * 8, actions
sent = {}
for e in events:
    if e["cat"] == "communication":
        a = e["args"]
        assert a["exposed_us"] >= 0 and a["hidden_us"] >= 0 and a["axis"] in ("data", "tensor", "pipeline", "sequence"), a
        if e["pid"] == 0:
            key = (a["step"], a["axis"])
            sent[key] = sent.get(key, 0) + a["sent"]
metrics = {line["step"]: line for line in map(json.loads, open(sys.argv[1].rsplit("/trace/")[0] + "/metrics.jsonl"))}
for (step, axis), total in sent.items():
    assert total == metrics[step]["comm_bytes"][axis], (step, axis, total, metrics[step]["comm_bytes"])
# A tensor all-reduce ends on no rank before the last of its group has begun it: the clocks are one.
together = {}
for e in events:
    if e["cat"] == "communication" and e["args"]["axis"] == "tensor" and e["args"]["op"] == "all_reduce":
        group = e["pid"] // 2
        together.setdefault((group, e["args"]["sequence"]), []).append(e)
assert together
for members in together.values():
    assert max(e["ts"] for e in members) <= min(e["ts"] + e["dur"] for e in members) + 1, members
END2
}

trace_under_mpirun() {
  timeout 200 "$here/../support/mpirun.sh" 8 "$binary" train "$run_file" run.dir="$work/runs/mpi" "${mesh[@]}" >"$work/mpi.out" 2>&1 ||
    { cat "$work/mpi.out" && return 1; }
  trace_is_whole mpi
}

tensorboard_reads_it() {
  "$1" - "$work/runs/mesh" <<'END2'
import glob, json, struct, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1] + "/tensorboard", size_guidance={"scalars": 0})
events.Reload()
lines = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
single = lambda v: struct.unpack("f", struct.pack("f", v))[0]
for tag, key in (("loss/train", "loss"), ("optimizer/grad_norm", "grad_norm"), ("speed/mfu", "mfu"), ("loss/validation", "val_loss")):
    wanted = [(line["step"], single(line[key])) for line in lines if key in line]
    assert [(e.step, e.value) for e in events.Scalars(tag)] == wanted, tag
assert events.Scalars("communication/tensor_bytes")[-1].value == lines[-1]["comm_bytes"]["tensor"]
END2
}

# A start that goes on after step 4 replaces what an earlier one wrote for steps 5 and 6.
tensorboard_after_resume() {
  train mesh "${mesh[@]}" train.stop_at=4 checkpoint.resume=never || return 1
  train mesh "${mesh[@]}" || return 1
  [[ "$(find "$work/runs/mesh/tensorboard" -type f | wc -l)" -ge 3 ]] || return 1
  tensorboard_reads_it "$1"
}

watch_prints_a_snapshot() {
  "$binary" watch "$work/runs/mesh" >"$work/watch.txt" || return 1
  local wanted
  for wanted in '^tiny: done$' '^step 6/6  loss ' 'validation [0-9.]* at step 6' 'tokens/s' 'o validation loss'; do
    grep -q -- "$wanted" "$work/watch.txt" || { echo "no '$wanted'" && cat "$work/watch.txt" && return 1; }
  done
  ! grep -q $'\033' "$work/watch.txt"
}

# shows TEXT: waits until the terminal has shown it.
shows() {
  local i
  for ((i = 0; i < 300; ++i)); do
    grep -qF -- "$1" "$work/live.txt" 2>/dev/null && return 0
    sleep 0.1
  done
  echo "'$1' never came" && cat "$work/live.txt"
  return 1
}

# On a terminal it redraws, survives a file that is cut back, and ends when the run does.
watch_follows_a_run() {
  rm -rf "$work/runs/live"
  mkdir -p "$work/runs/live"
  cp "$work/runs/mesh/config.yaml" "$work/runs/live/"
  head -n 3 "$work/runs/mesh/metrics.jsonl" >"$work/runs/live/metrics.jsonl"
  printf '{"format":1,"starts":[{"host":"elsewhere","pid":1}]}' >"$work/runs/live/starts.json"
  timeout 120 script -qefc "$binary watch $work/runs/live --every 0.1" /dev/null >"$work/live.txt" &
  local watcher=$!
  shows "step 3/6" || return 1
  head -n 2 "$work/runs/mesh/metrics.jsonl" >"$work/runs/live/metrics.new"
  mv "$work/runs/live/metrics.new" "$work/runs/live/metrics.jsonl"
  shows "step 2/6" || return 1
  cp "$work/runs/mesh/metrics.jsonl" "$work/runs/live/metrics.jsonl"
  printf '{"format":1,"starts":[{"end":{"outcome":"done"}}]}' >"$work/runs/live/starts.json"
  wait "$watcher" || { echo "watch did not end" && return 1; }
  shows "step 6/6"
}

svg_files() {
  "$binary" report "$work/runs/mesh" --svg "$work/svg" >"$work/out" || return 1
  local name
  for name in loss validation memory-by-rank bytes-by-axis time-by-axis pipeline-measured pipeline-predicted; do
    python3 -c 'import sys, xml.dom.minidom as dom; assert dom.parse(sys.argv[1]).documentElement.tagName == "svg"' "$work/svg/$name.svg" || return 1
  done
}

png_without_browser() {
  fails_with 3 "install chromium" env -u ORTHANT_BROWSER PATH=/nonexistent "$binary" report "$work/runs/mesh" --png "$work/png"
}

png_files() {
  "$binary" report "$work/runs/mesh" --png "$work/png" >"$work/out" || return 1
  python3 - "$work/svg" "$work/png" <<'END2'
import glob, os, struct, sys, xml.dom.minidom as dom, zlib
names = [os.path.basename(p)[:-4] for p in glob.glob(sys.argv[1] + "/*.svg")]
assert len(names) >= 10 and sorted(os.listdir(sys.argv[2])) == sorted(n + ".png" for n in names), names
for name in names:
    svg = dom.parse(f"{sys.argv[1]}/{name}.svg").documentElement
    data = open(f"{sys.argv[2]}/{name}.png", "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    size = struct.unpack(">II", data[16:24])
    assert size == (3 * int(float(svg.getAttribute("width"))), 3 * int(float(svg.getAttribute("height")))), (name, size)
    pixels, at = b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        pixels += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    rows = zlib.decompress(pixels)
    stride = len(rows) // size[1]
    drawn = [y for y in range(size[1]) if any(rows[y * stride + 1 : (y + 1) * stride])]  # a filtered row of one colour is 0 but at its beginning
    assert drawn[-1] > 0.8 * size[1], (name, drawn[-1], size)
END2
}

# In the browser: no script error, and the script does what it is for.
page_in_browser() {
  python3 "$here/report_page.py" --browser "$1" "$work/both.html" "$work/runs/mesh" "$work/runs/one"
}

# Whoever holds the lock is at work, whatever starts.json says; without one a start that wrote no end is broken off.
watch_asks_the_lock() {
  rm -rf "$work/runs/locked"
  mkdir -p "$work/runs/locked"
  cp "$work/runs/one/config.yaml" "$work/runs/one/metrics.jsonl" "$work/runs/locked/"
  printf '{"format":1,"starts":[{"host":"%s","pid":%s}]}' "$(hostname)" "$$" >"$work/runs/locked/starts.json"
  echo "process 7 on n1" >"$work/runs/locked/lock"
  "$binary" watch "$work/runs/locked" >"$work/watch.txt" || return 1
  grep -q 'broken off: process' "$work/watch.txt" || { cat "$work/watch.txt" && return 1; }
  cp "$work/runs/one/starts.json" "$work/runs/locked/starts.json"
  flock "$work/runs/locked/lock" "$binary" watch "$work/runs/locked" >"$work/watch.txt" || return 1
  grep -q 'starting: process 7 on n1' "$work/watch.txt" || { cat "$work/watch.txt" && return 1; }
}

# A run that was cut short: half a line, no configuration.
cut_short() {
  mkdir -p "$work/cut"
  head -c 900 "$work/runs/one/metrics.jsonl" >"$work/cut/metrics.jsonl"
  "$binary" report "$work/cut" >"$work/out" 2>"$work/err" || return 1
  local wanted
  for wanted in 'note: .*config.yaml is missing' 'the last line is cut off'; do
    grep -q "$wanted" "$work/err" || { cat "$work/err" && return 1; }
  done
  grep -q 'config.yaml is missing' "$work/cut/report.html"
}

failed_run_is_told() {
  train broken "fault.inject=['nan step=3 phase=forward']" >"$work/out" && return 1
  "$binary" report "$work/runs/broken" >"$work/out" 2>&1 || { cat "$work/out" && return 1; }
  grep -q 'failed, exit code 6' "$work/runs/broken/report.html" || return 1
  grep -q '<b>failed start, step [0-9]*</b>' "$work/runs/broken/report.html" || return 1
  ! grep -q 'No failure is on record' "$work/runs/broken/report.html"
}

mesh=(parallel.data=2 parallel.tensor=2 parallel.pipeline=2 log.trace.steps='[2, 3]' log.tensorboard=true)
check "a run of eight ranks with timelines" train mesh "${mesh[@]}"
check "a run of one rank" train one
check "tracing changes no number" close one mesh 1e-9
check "the page of one run" page_of_one
check "the page of two runs" page_of_two
check "the timeline of two steps" trace_is_whole mesh
if command -v mpirun >/dev/null; then check "the timeline under mpirun" trace_under_mpirun; else skip "the timeline under mpirun" "mpirun is not on PATH"; fi
check "watch without a terminal" watch_prints_a_snapshot
if command -v flock >/dev/null; then check "watch asks the lock" watch_asks_the_lock; else skip "watch asks the lock" "the program flock is not on PATH"; fi
if command -v script >/dev/null; then check "watch on a terminal" watch_follows_a_run; else skip "watch on a terminal" "the program script is not on PATH"; fi
check "SVG files" svg_files
check "PNG files without a browser" png_without_browser
python=''
for candidate in "${ORTHANT_TEST_PYTHON:-python3}" python3; do
  [[ -z "$python" ]] && "$candidate" -c 'import tensorboard' >/dev/null 2>&1 && python=$candidate
done
if [[ -n "$python" ]]; then
  check "TensorBoard reads the events" tensorboard_reads_it "$python"
  check "TensorBoard after a start that goes on" tensorboard_after_resume "$python"
else
  skip "TensorBoard reads the events" "tensorboard is not installed (pip install tensorboard; ORTHANT_TEST_PYTHON names another Python)"
fi
browser=$(command -v chromium || command -v google-chrome || true)
if [[ -n "$browser" ]]; then
  check "the page in a browser" page_in_browser "$browser"
  check "PNG files" png_files
else
  skip "the page in a browser" "neither chromium nor google-chrome is on PATH"
fi
check "a folder that was cut short" cut_short
check "a run that failed" failed_run_is_told
check "no such folder" fails_with 5 "does not exist" "$binary" report "$work/none"
check "a folder that is no run" fails_with 5 "neither config.yaml nor metrics.jsonl" "$binary" report "$work/data"
check "watch a folder that is no run" fails_with 5 "neither config.yaml nor metrics.jsonl" "$binary" watch "$work/data"
check "no folder named" fails_with 2 "run_dirs" "$binary" report
check "too many runs" fails_with 2 "at most 8" "$binary" report "$work/runs/one"{,,,,,,,,}
finish
