# shellcheck shell=bash
# Sourced by tests that train: a small text, prepared, and a run on it. Wants `work` and `binary`; sets `run_file`.
# shellcheck disable=SC2154

# 6,000 characters that look like text, the same on every machine.
awk 'BEGIN {
  split("the king said to his brother that no man of wit would sail before dawn and lords agreed", word, " ")
  seed = 7
  while (length(text) < 6000) {
    seed = (seed * 1103 + 12345) % 65536
    text = text word[1 + seed % 18] (seed % 7 == 0 ? ".\n" : " ")
  }
  printf "%s", text
}' >"$work/story.txt"
"$binary" data prepare --input "$work/story.txt" --tokenizer char --output "$work/data" >"$work/prepare.txt"

run_file="$work/run.yaml"
cat >"$run_file" <<END
run: {name: tiny, dir: $work/runs/tiny, seed: 11}
model: {family: gpt2, layers: 3, heads: 4, hidden: 16, context: 16, bias: true, dropout: 0.1, tie_embeddings: true}
train: {steps: 6, global_batch: 8, micro_batch: 1, dtype: fp64, clip: 1.0}
optimizer: {lr: 1.0e-2, min_lr: 1.0e-3, warmup: 2}
data: {path: $work/data}
evaluate: {every: 3, batches: 2, prompt: "the ", sample_tokens: 24}
log: {every: 1, peak_tflops: 0.1}
END

# train NAME KEY=VALUE...: trains in $work/runs/NAME as threads; text in NAME.out and NAME.err.
train() {
  local name=$1
  shift
  timeout 120 "$binary" train "$run_file" run.dir="$work/runs/$name" "$@" >"$work/$name.out" 2>"$work/$name.err" || {
    local code=$?
    cat "$work/$name.out" "$work/$name.err"
    return "$code"
  }
}

# same NAME NAME: what the two runs computed is the same to the bit.
same() { python3 "$here/compare_metrics.py" "$work/runs/$1/metrics.jsonl" "$work/runs/$2/metrics.jsonl" --bitwise; }

# close NAME NAME TOLERANCE: the same numbers to a relative tolerance.
close() {
  python3 "$here/compare_metrics.py" "$work/runs/$1/metrics.jsonl" "$work/runs/$2/metrics.jsonl" --tolerance "$3"
}
