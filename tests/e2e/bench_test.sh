#!/usr/bin/env bash
# `orthant bench comm` and `orthant bench step`: JSON as documented, the link file, text, exit codes; as threads and under
# mpirun. No time is looked at.
#   bench_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the JSON, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"

cat >"$work/run.yaml" <<END
run: {name: bench, dir: $work/runs/bench}
model: {layers: 2, heads: 4, hidden: 16, context: 16}
parallel: {data: 2, tensor: 2}
train: {global_batch: 8, micro_batch: 2}
data: {source: synthetic, synthetic_vocab: 29}
log: {peak_tflops: 0.1}
END

# quietly COMMAND...: shows what it printed when it fails.
quietly() {
  timeout 200 "$@" >"$work/out" 2>"$work/err" || {
    local code=$?
    cat "$work/out" "$work/err"
    return "$code"
  }
}

# links_are_as_documented FILE RANKS BACKEND: a link file of --mesh data=2,tensor=RANKS/2 over all axes and operations.
links_are_as_documented() {
  python3 - "$1" "$2" "$3" <<'END'
import json, sys
path, ranks, backend = sys.argv[1], int(sys.argv[2]), sys.argv[3]
links = json.load(open(path))
assert (links["format"], links["version"]) == ("orthant-links", 1)
assert links["backend"] == backend and links["ranks"] == ranks and links["ranks_per_host"] == ranks, links
assert links["mesh"] == {"data": 2, "tensor": ranks // 2, "pipeline": 1, "sequence": 1}
assert links["machine"]["cores"] >= 1 and links["machine"]["host"] and links["machine"]["processor"]
assert links["date"].endswith("Z") and links["dtype"] == "fp32" and links["asynchronous"] is False
assert [a["axis"] for a in links["axes"]] == ["data", "tensor", "world"]
names = ["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "all_to_all_split", "broadcast", "reduce", "scatter",
         "gather", "send_recv", "ping_pong", "barrier", "copy"]
slices = {"all_gather", "reduce_scatter", "all_to_all", "all_to_all_split", "scatter", "gather"}
for axis in links["axes"]:
    n = axis["ranks"]
    assert n * axis["groups"] == ranks and axis["hosts"] == 1, axis
    assert [o["op"] for o in axis["operations"]] == names
    for op in axis["operations"]:
        others = (n - 1) / n
        factor = {"all_reduce": 2 * others, "barrier": 0}.get(op["op"], others if op["op"] in slices else 1)
        assert abs(op["bus_factor"] - factor) < 1e-12, op
        sizes = [p["bytes"] for p in op["points"]]
        assert sizes == ([0] if op["op"] == "barrier" else [4096, 16384]), sizes
        for p in op["points"]:
            assert 0 < p["min_seconds"] <= p["seconds"] <= p["max_seconds"] and p["samples"] == 2, p
            if p["bytes"]:
                rate = p["bytes"] / p["seconds"]
                assert abs(p["algorithm_bandwidth"] / rate - 1) < 1e-12, p
                assert abs(p["bus_bandwidth"] - factor * rate) <= 1e-12 * rate, p
        if op["op"] == "all_reduce":
            assert [p["sent_bytes"] for p in op["points"]] == [2 * (n - 1) * size // n for size in sizes]
        pieces = op["fit"]["pieces"]
        assert pieces[-1]["up_to_bytes"] is None and all(q["up_to_bytes"] for q in pieces[:-1]), pieces
        assert all(q["latency_seconds"] >= 0 and q["seconds_per_byte"] >= 0 for q in pieces), pieces
END
}

comm_json() {
  quietly "$binary" bench comm --mesh data=2,tensor=2 --sizes 4KiB,16KiB --iterations 2 --format json \
    --output "$work/links.json" || return 1
  grep -q "wrote $work/links.json" "$work/err" || { cat "$work/err" && return 1; }
  links_are_as_documented "$work/out" 4 local && links_are_as_documented "$work/links.json" 4 local
  cmp "$work/out" "$work/links.json"
}

comm_text() {
  quietly "$binary" bench comm --ops all_reduce,barrier,copy --sizes 1KiB..16KiB --seconds 0.01 || return 1
  for wanted in 'data=2 tensor=1 pipeline=1 sequence=1: 2 ranks, 2 a host, local backend' 'data: 1 group of 2 ranks' \
    'bus GB/s' 'all_reduce *16,384' 'barrier *0' 'worst error'; do
    grep -q "$wanted" "$work/out" || { echo "no '$wanted'" && cat "$work/out" && return 1; }
  done
}

# Sizes that a mesh of three ranks divides, by default.
comm_three_ranks() {
  quietly "$binary" bench comm --mesh sequence=3 --ops all_gather --dtype bf16 --async --iterations 1 --format json || return 1
  python3 - "$work/out" <<'END'
import json, sys
links = json.load(open(sys.argv[1]))
sizes = [p["bytes"] for p in links["axes"][0]["operations"][0]["points"]]
assert len(sizes) == 8 and all(s % 6 == 0 for s in sizes) and sizes[0] == 4092, sizes
assert links["asynchronous"] is True and links["dtype"] == "bf16"
END
}

comm_under_mpirun() {
  quietly "$here/../support/mpirun.sh" 4 "$binary" bench comm --mesh data=2,tensor=2 --sizes 4KiB,16KiB --iterations 2 \
    --format json --output "$work/mpi_links.json" --compare mpi || return 1
  links_are_as_documented "$work/out" 4 mpi && links_are_as_documented "$work/mpi_links.json" 4 mpi
  python3 - "$work/out" "$work/mpi_links.json" <<'END'
import json, sys
shown, written = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
theirs = shown.pop("mpi_own")
assert shown == written
for axis, own in zip(theirs, shown["axes"]):
    assert axis["axis"] == own["axis"]
    for op, ours in zip(axis["operations"], own["operations"]):
        assert op["op"] == ours["op"] and len(op["points"]) == len(ours["points"])
END
}

comm_text_compares() {
  quietly "$here/../support/mpirun.sh" 2 "$binary" bench comm --ops all_reduce --sizes 4KiB --iterations 2 --compare mpi || return 1
  # mpirun gives its processes a terminal, so the table may have boxes.
  grep -q "MPI's own us.*times as fast" "$work/out" || { cat "$work/out" && return 1; }
  [[ "$(grep -c 'all_reduce' "$work/out")" == 2 ]] || { cat "$work/out" && echo "each process speaks" && return 1; }
}

# step_is_as_documented RANKS BACKEND: what is in $work/out.
step_is_as_documented() {
  python3 - "$work/out" "$1" "$2" <<'END'
import json, sys
step = json.load(open(sys.argv[1]))
ranks = int(sys.argv[2])
assert step["run"] == "bench" and step["ranks"] == ranks and step["backend"] == sys.argv[3], step
assert step["steps"] == 3 and step["warmup"] == 1 and step["tokens_per_step"] == 128 and step["microbatches"] == 2
times = step["step"]
assert 0 < times["min_seconds"] <= times["lower_quartile_seconds"] <= times["median_seconds"], times
assert times["median_seconds"] <= times["upper_quartile_seconds"] <= times["max_seconds"], times
assert abs(step["tokens_per_second"] * times["median_seconds"] / 128 - 1) < 1e-9
flops = step["flops_per_token"] * step["tokens_per_second"] / ranks
assert abs(step["flops_per_second_per_rank"] / flops - 1) < 1e-9 and abs(step["mfu"] / (flops / 1e11) - 1) < 1e-9
assert [p["part"] for p in step["parts"]] == ["data", "forward", "backward", "pipeline", "reduction", "optimizer", "other"]
for figure in step["parts"] + [step["rank_step"], step["computing"]]:
    assert figure["slowest_seconds"] >= figure["median_seconds"] and 0 <= figure["slowest_rank"] < ranks, figure
axes = {a["axis"]: a for a in step["axes"]}
assert {a: axes[a]["degree"] for a in axes} == {"data": 2, "tensor": 2, "pipeline": 1, "sequence": 1}
for name in ("data", "tensor"):
    assert axes[name]["sent_bytes"] > 0 and axes[name]["exposed"]["slowest_seconds"] > 0, axes[name]
assert axes["sequence"]["sent_bytes"] == 0 and axes["sequence"]["exposed"]["slowest_seconds"] == 0
assert step["first_loss"] > 0 and step["first_step_seconds"] > 0 and step["memory_peak_bytes"] > 0
END
}

step_json() {
  quietly "$binary" bench step "$work/run.yaml" --steps 3 --warmup 1 --format json && step_is_as_documented 4 local
  [[ ! -e "$work/runs/bench" ]] || { echo "a benchmark wrote the run's folder" && return 1; }
}

step_text() {
  quietly "$binary" bench step "$work/run.yaml" parallel.zero=3 --steps 2 || return 1
  for wanted in 'bench: data=2 tensor=2 pipeline=1 sequence=1, ZeRO 3, fp32' '^forward' '^reduction' 'exposed ms' '^tensor' \
    'hidden ms' 'tokens/s' 'mfu'; do
    grep -q "$wanted" "$work/out" || { echo "no '$wanted'" && cat "$work/out" && return 1; }
  done
}

step_result_line() {
  quietly "$binary" bench step "$work/run.yaml" --steps 2 --result-line || return 1
  python3 - "$work/out" <<'END'
import json, sys
lines = open(sys.argv[1]).read().splitlines()
assert len(lines) == 1 and lines[0].startswith("RESULT "), lines
result = json.loads(lines[0][7:])
assert result["dp"] == 2 and result["tp"] == 2 and result["steps"] == 2 and result["med_ms"] > 0 and result["tok_s"] > 0
END
}

step_under_mpirun() {
  quietly "$here/../support/mpirun.sh" 4 "$binary" bench step "$work/run.yaml" --steps 3 --warmup 1 --format json &&
    step_is_as_documented 4 mpi
}

# refuses CODE PATTERN ARGUMENTS...: one error, once, and nothing on stdout.
refuses() {
  local wanted=$1 pattern=$2 code=0
  shift 2
  timeout 100 "$@" >"$work/out" 2>"$work/err" || code=$?
  if [[ "$code" != "$wanted" || -s "$work/out" || "$(grep -c '^error: ' "$work/err")" != 1 ]] ||
    ! grep -q -- "$pattern" "$work/err"; then
    echo "exit code $code"
    cat "$work/out" "$work/err"
    return 1
  fi
}

check "comm: --format json and --output" comm_json
check "comm: text" comm_text
check "comm: three ranks, bf16, asynchronous" comm_three_ranks
check "step: --format json" step_json
check "step: text" step_text
check "step: --result-line" step_result_line
comm() { refuses "$1" "$2" "$binary" bench comm "${@:3}"; }
check "an unknown operation" comm 2 "'all_reduse' is no operation; did you mean all_reduce?" --ops all_reduse
check "an unknown axis" comm 2 "'tenser' is no axis; did you mean tensor?" --axis tenser
check "an axis of one rank" comm 2 'has one rank along it, which communicates nothing' --mesh data=2 --axis tensor
check "a mesh of one rank" comm 2 'the mesh has one rank' --mesh data=1
check "a degree that is no number" comm 2 "the degree of data is 'two'" --mesh data=two
check "a size that does not divide" comm 2 'nearest legal: 4092 or 4104 bytes' --mesh data=3 --sizes 4KiB
check "a size that is none" comm 2 "'much' is not a size in bytes" --sizes much
check "more memory than there is" comm 3 'choose smaller --sizes' --sizes 1024TiB --ops copy
check "--compare without a launcher" comm 2 'needs an MPI launcher' --compare mpi
check "the mpi backend without a launcher" comm 3 'needs an MPI launcher' --backend mpi
check "an output in no folder" comm 3 'does not exist' --output "$work/none/links.json"
check "an output that is a folder" comm 3 'is a folder' --output "$work"
check "--seconds and --iterations" comm 2 'excludes' --seconds 1 --iterations 2
check "step: a file that is not there" refuses 2 'none.yaml' "$binary" bench step "$work/none.yaml"
check "step: a mistake in the run" refuses 2 'did you mean parallel.tensor' "$binary" bench step "$work/run.yaml" parallel.tenser=2
check "step: a loss that is not finite" refuses 6 'is not timed' "$binary" bench step "$work/run.yaml" optimizer.lr=1e30 \
  optimizer.warmup=0 train.clip=0
if command -v mpirun >/dev/null; then
  mpi() { refuses "$1" "$2" "$here/../support/mpirun.sh" "${@:3}"; }
  check "comm under mpirun, beside MPI's own" comm_under_mpirun
  check "comm under mpirun: text" comm_text_compares
  check "step under mpirun" step_under_mpirun
  check "comm: another number of processes" mpi 3 'the launcher started 2 processes' 2 "$binary" bench comm --mesh data=4 --sizes 4KiB
  check "comm: an unknown operation, told once" mpi 2 "'copied' is no operation" 2 "$binary" bench comm --ops copied
  check "comm: bf16 beside MPI's own" mpi 2 'MPI has no type for bf16' 2 "$binary" bench comm --dtype bf16 --compare mpi
  check "step: another number of processes" mpi 3 'the launcher started 2 processes' 2 "$binary" bench step "$work/run.yaml"
else
  skip "under mpirun" "mpirun is not on PATH"
fi
finish
