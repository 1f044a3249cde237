#!/usr/bin/env bash
# ZeRO, offload, recompute, precision and the memory account together, through the binary with ranks as threads.
#   zero_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the metrics, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=tiny_run.sh
source "$here/tiny_run.sh"

three=(parallel.zero=3 parallel.data=2 parallel.tensor=2)
files=(zero.offload.optimizer=nvme zero.offload.parameters=nvme)

# metrics NAME CODE: runs Python CODE on `lines`, the objects of a run's metrics.jsonl.
metrics() {
  python3 -c 'import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
exec(sys.argv[2])' "$work/runs/$1/metrics.jsonl" "$2"
}

# says NAME PATTERN...: each stands in what the run printed on stdout.
says() {
  local name=$1 pattern
  shift
  for pattern in "$@"; do
    grep -q -- "$pattern" "$work/$name.out" ||
      { echo "no line matches '$pattern'" && cat "$work/$name.out" && return 1; }
  done
}

every_byte_is_accounted() {
  metrics everything '
tags = {"parameters", "gradients", "optimizer", "activations", "communication", "temporary", "host"}
for line in lines:
    assert set(line["mem_bytes"]) == tags, line
    assert line["mem_peak_bytes"] > 0 and line["mem_host_peak_bytes"] > 0, line
    device = sum(bytes for tag, bytes in line["mem_bytes"].items() if tag != "host")
    assert 0 < device <= line["mem_peak_bytes"], line
    assert 0 < line["mem_bytes"]["host"] <= line["mem_host_peak_bytes"], line
    assert line["mem_bytes"]["optimizer"] == 0, "moments and masters are in files"
    assert line["mem_bytes"]["parameters"] == 0, "and so are the shards of the values"
    assert "loss_scale" not in line and "skipped" not in line, line
' && says everything 'peak device memory by stage' '^stage .*parameters .*host' 'peak host memory, rank 0'
}

# offload_is_empty NAME: the run took its files away.
offload_is_empty() {
  [[ -d "$work/runs/$1/offload" ]] || { echo "there is no folder" && return 1; }
  [[ -z "$(ls -A "$work/runs/$1/offload")" ]] || { ls -la "$work/runs/$1/offload" && return 1; }
}

# deep NAME KEY=VALUE...: trains configs/deep.yaml, whose model states are 144.4 MiB.
deep() {
  local name=$1
  shift
  timeout 120 "$binary" train "$here/../../configs/deep.yaml" run.dir="$work/runs/$name" "$@"
}

# same_curve NAME NAME: to the bit, whatever was sent for it.
same_curve() {
  python3 - "$work/runs/$1/metrics.jsonl" "$work/runs/$2/metrics.jsonl" <<'END'
import json, sys
keys = ("step", "loss", "grad_norm", "lr", "tokens", "val_loss", "train_loss")
a, b = ([{key: repr(line.get(key)) for key in keys} for line in map(json.loads, open(path))] for path in sys.argv[1:])
assert a and len(a) == len(b), (len(a), len(b))
for left, right in zip(a, b):
    assert left == right, f"{left}\n{right}"
END
}

# smaller TAG NAME NAME: the first holds fewer bytes of a tag at its peak than the second, by the table of stage 0.
smaller() {
  python3 - "$@" "$work" <<'END'
import re, sys
tag, first, second, work = sys.argv[1:]
unit = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
def held(name):
    lines = open(f"{work}/{name}.out").read().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("stage "))
    cells = re.findall(r"[\d.]+ (?:B|KiB|MiB)", lines[at + 1])
    number, of = cells[lines[at].split().index(tag) - 2].split()
    return float(number) * unit[of]
assert held(first) < held(second), (tag, held(first), held(second))
END
}

loss_scale_is_reported() {
  metrics half '
assert all(line["loss_scale"] == 1024 and "skipped" not in line for line in lines), lines
assert lines[-1]["loss"] < lines[0]["loss"], lines
' && says half ' loss_scale=1024'
}

# 2^40 overflows fp16 gradients; with hysteresis 1 each such step divides it by 4096, until it fits.
skipped_steps_are_reported() {
  metrics skipping '
skipped = [line["step"] for line in lines if line.get("skipped")]
assert skipped and skipped == list(range(1, len(skipped) + 1)) and len(skipped) < len(lines), skipped
scales = [line["loss_scale"] for line in lines]
assert scales[:2] == [2.0**40, 2.0**28], scales
assert all(scale == scales[len(skipped)] for scale in scales[len(skipped):]), scales
assert all(line["grad_norm"] is not None for line in lines[len(skipped):]), lines
first, second = lines[0]["loss"], lines[1]["loss"]
assert lines[-1]["loss"] < first, "it goes on, and learns"
' && says skipping ' loss_scale=1.09951e+12 skipped' '^skipped steps '
}

phases_are_shown() {
  says detail 'rank 0 by phase of the step' '^memory .*now .*peak .*forward .*backward .*optimizer' '^activations ' \
    '^host  *[1-9]' || return 1 # now, after the last step
  if grep -q 'by phase of the step' "$work/everything.out"; then
    echo "it was not asked for there" && return 1
  fi
}

# Files that are cut short while the run uses them; two staging buffers hold two of many slots, so that all are read.
cut_files_end_the_run() {
  local code=0 cutter
  while true; do
    truncate -c -s 0 "$work/runs/cut/offload/"*.bin 2>/dev/null || true
    sleep 0.02
  done &
  cutter=$!
  train cut "${three[@]}" "${files[@]}" zero.offload.buffers=2 train.steps=100000 evaluate.batches=0 log.every=100000 \
    >"$work/cut.txt" || code=$?
  if kill "$cutter"; then wait "$cutter" 2>/dev/null || true; fi
  if [[ "$code" != 5 || "$(grep -c '^error: ' "$work/cut.err")" != 1 ]] ||
    ! grep -q 'offload/.*\.bin: .*is lost and the run cannot continue' "$work/cut.err"; then
    echo "exit code $code" && cat "$work/cut.err" && return 1
  fi
}

# refused CODE PATTERN KEY=VALUE...: exit code and one message that matches.
refused() {
  local expected=$1 pattern=$2 code=0
  shift 2
  rm -rf "$work/runs/refused"
  train refused "$@" >"$work/refused.txt" || code=$?
  if [[ "$code" != "$expected" || "$(grep -c '^error: ' "$work/refused.err")" != 1 ]] ||
    ! grep -q -- "$pattern" "$work/refused.err"; then
    echo "exit code $code" && cat "$work/refused.err" && return 1
  fi
}

check "ZeRO 3, files, recompute, bf16" train everything "${three[@]}" "${files[@]}" memory.recompute=full train.dtype=bf16
check "every byte is accounted" every_byte_is_accounted
check "the offload folder is emptied" offload_is_empty everything

check "fp32, ZeRO 3" train plain "${three[@]}" train.dtype=fp32
check "fp32, ZeRO 3, files" train files "${three[@]}" "${files[@]}" train.dtype=fp32
check "files change no bit" same_curve plain files
check "fp32, ZeRO 3, host memory" train host "${three[@]}" zero.offload.optimizer=host zero.offload.parameters=host \
  train.dtype=fp32
check "host memory changes no bit" same_curve plain host
for what in full selective; do
  check "fp32, ZeRO 3, recompute $what" train "$what" "${three[@]}" memory.recompute=$what train.dtype=fp32
  check "recompute $what changes no bit" same_curve plain "$what"
  check "recompute $what holds fewer activations" smaller activations "$what" plain
done
check "fp32, ZeRO 3, all of it" train all "${three[@]}" "${files[@]}" memory.recompute=full memory.recompute_every=2 \
  zero.release_after_forward=false zero.prefetch_bytes=0 train.dtype=fp32
check "release and prefetch change no bit either" same_curve plain all
check "fp32, ZeRO 3, buckets, tiles, hybrid shards" train split "${three[@]}" zero.bucket_bytes=2KiB zero.tile_bytes=1KiB \
  zero.shard_ranks=1 train.dtype=fp32
check "these sum in another order, and no more" close plain split 1e-5
check "what is offloaded is not on the device" smaller parameters files plain

check "fp16" train half train.dtype=fp16 train.loss_scale.initial=1024 parallel.data=2 parallel.zero=2
check "fp16 tells its loss scale" loss_scale_is_reported
check "fp16 from a scale that is too large" train skipping train.dtype=fp16 train.loss_scale.initial=1099511627776 \
  train.loss_scale.hysteresis=1 train.loss_scale.factor=4096 parallel.data=2
check "skipped steps are told, and the run goes on" skipped_steps_are_reported
check "fp16 that finds no scale stops" refused 6 'the first that is not finite is the gradient of .* on rank 0, microbatch 0' \
  train.dtype=fp16 train.loss_scale.initial=1e30 train.loss_scale.smallest=1e30 train.loss_scale.hysteresis=1

check "model states of four times the limit" deep quarter memory.limit=36MiB
check "of ten times the limit, with files" deep tenth memory.limit=14MiB "${files[@]}"
check "to the same bits" same_curve quarter tenth

check "log.memory=detail" train detail "${three[@]}" "${files[@]}" log.memory=detail
check "the table by phase" phases_are_shown

check "files cut short end the run with exit code 5" cut_files_end_the_run
mkdir "$work/disk"
if mount -t tmpfs -o size=16k none "$work/disk" 2>/dev/null; then
  check "a full disk" refused 3 'zero.offload.path: .*bytes are wanted, the disk has .* free' "${three[@]}" "${files[@]}" \
    zero.offload.path="$work/disk"
  mount -o remount,ro "$work/disk"
  check "a read-only disk" refused 3 'zero.offload.path: .*cannot be made: Read-only file system' "${three[@]}" \
    "${files[@]}" zero.offload.path="$work/disk"
  umount "$work/disk"
else
  skip "a full disk" "this user may not mount one"
  skip "a read-only disk" "this user may not mount one"
fi
finish
