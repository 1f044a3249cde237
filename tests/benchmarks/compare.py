#!/usr/bin/env python3
"""Our training step beside PyTorch's, layout by layout, in one run on a quiet machine.

  python3 tests/benchmarks/compare.py --build build/release --peers DIR --venv DIR [--rounds 2] [--sizes S M L]

--peers names the folder of peer_gpt.py (a nanoGPT-shaped GPT on PyTorch, CPU and gloo), --venv a Python environment
with its PyTorch. Each layout is run by both in turn, --rounds times; the table gives the median of the runs' median
step times, and the median of the ratios round by round. Two equal runs differ by up to 25 %: read smaller ratios as equal.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

# label, ranks, threads a rank, peer's flags, ours
LAYOUTS = [
    ("one rank, 2 threads", 1, 2, "", ""),
    ("data 2", 2, 1, "--dp 2", "--dp 2"),
    ("tensor 2", 2, 1, "--tp 2", "--tp 2"),
    ("pipeline 2 (1F1B)", 2, 1, "--pp 2", "--pp 2"),
    ("sequence 2", 2, 1, "--sp 2", "--sp 2"),
    ("data 2 x tensor 2 x pipeline 2", 8, 1, "--dp 2 --tp 2 --pp 2 --micro 2", "--dp 2 --tp 2 --pp 2 --micro 2"),
    ("2 x 2 x 2 x 2 (16 ranks)", 16, 1, None, "--dp 2 --tp 2 --pp 2 --sp 2 --micro 2"),
]
# The same, for sharding and precision: --set zero.
ZERO = [
    ("DDP / ZeRO 0", 2, 1, "--dp 2 --dpkind ddp", "--dp 2 --zero 0"),
    ("DDP / ZeRO 1", 2, 1, "--dp 2 --dpkind ddp", "--dp 2 --zero 1"),
    ("FSDP2 / ZeRO 2", 2, 1, "--dp 2 --dpkind fsdp2", "--dp 2 --zero 2"),
    ("FSDP2 / ZeRO 3", 2, 1, "--dp 2 --dpkind fsdp2", "--dp 2 --zero 3"),
    ("bf16, one rank, 2 threads, eager", 1, 2, "--dtype bf16", "--dtype bf16"),
    ("bf16, one rank, 2 threads, compiled", 1, 2, "--dtype bf16 --compile", "--dtype bf16"),
    ("bf16, FSDP2 / ZeRO 3", 2, 1, "--dp 2 --dpkind fsdp2 --dtype bf16", "--dp 2 --zero 3 --dtype bf16"),
]
BUDGET = {"S": (300, 5), "M": (40, 7), "L": (6, 12)}  # steps at most, seconds at most
BATCH = {"S": 12, "M": 8, "L": 4}  # samples of a global batch, as in sizes/*.yaml
KEYS = {"--dp": "parallel.data", "--tp": "parallel.tensor", "--pp": "parallel.pipeline", "--sp": "parallel.sequence",
        "--zero": "parallel.zero", "--dtype": "train.dtype"}


def overrides(size, flags):
    """The settings of our run that the flags of the common comparison stand for."""
    given = dict(zip(flags[::2], flags[1::2]))
    local = BATCH[size] // int(given.get("--dp", 1))
    # Without a pipeline a rank's share of the batch is one microbatch.
    parts = min(int(given.get("--micro", 4)), local) if int(given.get("--pp", 1)) > 1 else 1
    return [f"train.micro_batch={max(1, local // parts)}"] + [f"{KEYS[f]}={v}" for f, v in given.items() if f != "--micro"]


def result_of(command, environment):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[len("RESULT "):])
    sys.exit(f"no RESULT line from: {' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--peers", required=True)
    parser.add_argument("--venv", required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", default=["S", "M", "L"], choices=list(BUDGET))
    parser.add_argument("--only", default="", help="layouts whose name holds this text")
    parser.add_argument("--set", default="mesh", choices=["mesh", "zero"], help="layouts of the mesh, or sharding and precision")
    a = parser.parse_args()
    peer = os.path.join(a.peers, "peer_gpt.py")
    sizes = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sizes")
    print("| size | layout | PyTorch ms | ours ms | ours tokens/s | times as fast | first step s, PyTorch / ours |")
    print("|---|---|---|---|---|---|---|")
    for size in a.sizes:
        steps, seconds = BUDGET[size]
        common = ["--size", size, "--steps", str(steps), "--seconds", str(seconds)]
        for label, ranks, threads, peer_flags, our_flags in ZERO if a.set == "zero" else LAYOUTS:
            if a.only not in label:
                continue
            theirs, ours, ratios = [], [], []
            for _ in range(a.rounds):
                if peer_flags is not None:
                    python = [os.path.join(a.venv, "bin", "python")]
                    if ranks > 1:
                        python = [os.path.join(a.venv, "bin", "torchrun"), "--nproc-per-node", str(ranks)]
                    flags = peer_flags.split() + (["--threads", "2"] if ranks == 1 else [])
                    theirs.append(result_of(python + [peer] + common + flags, {"OMP_NUM_THREADS": str(threads)}))
                ours.append(result_of([os.path.join(a.build, "orthant"), "bench", "step", os.path.join(sizes, size + ".yaml"),
                                       f"train.threads_per_rank={threads}", "log.peak_tflops=1"] + overrides(size, our_flags.split())
                                      + common[2:] + ["--result-line"], {}))
                if theirs:
                    ratios.append(theirs[-1]["med_ms"] / ours[-1]["med_ms"])
            middle = lambda rows, key: statistics.median(r[key] for r in rows)
            their_ms = f"{middle(theirs, 'med_ms'):.1f}" if theirs else "-"
            ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
            first = f"{middle(theirs, 'first_step_s'):.1f}" if theirs else "-"
            print(f"| {size} | {label} | {their_ms} | {middle(ours, 'med_ms'):.1f} | {middle(ours, 'tok_s'):,.0f} | {ratio} "
                  f"| {first} / {middle(ours, 'first_step_s'):.2f} |", flush=True)


if __name__ == "__main__":
    main()
