#!/usr/bin/env bash
# `orthant sweep`: cases as processes, illegal and failing ones, Ctrl-C and a second start, wrong files, and the page.
#   sweep_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the files, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"
export OMP_NUM_THREADS=1

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
  cmp "$work/before.jsonl" "$work/small/data-r2/metrics.jsonl"
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

page_in_browser() {
  "$1" --headless --no-sandbox --disable-gpu --virtual-time-budget=5000 --dump-dom "file://$work/sweep.html" >"$work/dom.html" 2>"$work/browser.err" || return 1
  grep -q 'data-script="ready"' "$work/dom.html"
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
  python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["cases"][0]["starts"] == 2' "$work/failing/sweep.json"
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
if [[ -n "$browser" ]]; then check "the page in a browser" page_in_browser "$browser"; else skip "the page in a browser" "neither chromium nor google-chrome is on PATH"; fi
check "a failure is recorded and skipped" failure_is_recorded
check "another sweep's folder" fails_with 2 "sweep.name was small and is other" "$binary" sweep "$sweep_file" sweep.name=other
check "an unknown case" fails_with 2 "did you mean data-r1?" "$binary" sweep "$sweep_file" --only data-r7
check "an unknown key" wrong "wrong.yaml:2: gird: a sweep has the keys" "sweep: {run: run.yaml}" "gird: {parallel.zero: [1]}"
check "an unknown key of a run" wrong "did you mean parallel.zero?" "sweep: {run: run.yaml}" "grid: {parallel.zro: [1]}"
check "a file cut short" wrong "wrong.yaml:" "sweep: {run: run.yaml, ranks: [1,"
check "no such run" wrong "nowhere.yaml does not exist" "sweep: {run: nowhere.yaml}"
check "no legal case" wrong "no case is legal" "sweep: {run: run.yaml, dir: $work/none, ranks: [5]}"
head -c 300 "$work/small/sweep.json" >"$work/cut.json" && mv "$work/cut.json" "$work/small/sweep.json"
check "a record cut short" fails_with 5 "sweep.json" "$binary" sweep "$sweep_file"
check "the page of a record cut short" fails_with 5 "sweep.json" "$binary" report "$work/small"
finish
