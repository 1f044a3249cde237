#!/usr/bin/env python3
"""Kills a run at random moments until it has ended all the same, and compares it with one that was left alone.

  kills.py BINARY [--kills 100] [--seed N] [--mpi RANKS] [--work FOLDER] [--keep]

A run is started; after a random time kill -9 ends it (on mpi: one rank, mpirun, or every process); it is started again
by the same command, and so on until `--kills` kills have hit a running process; then it runs 30 steps more, and as many
steps are run without a kill. After each kill the newest checkpoint must be whole (`orthant checkpoint verify`), and never older than the one before. At the end
the curve must equal that of the undisturbed run to the bit, and so must the last checkpoint.
Exit code 0 when all holds.
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

RUN = """run: {{name: kills, dir: {work}/run, seed: 11}}
model: {{family: gpt2, layers: 4, heads: 4, hidden: 64, context: 32, bias: true, dropout: 0.1}}
parallel: {{data: 2, tensor: {tensor}, zero: 2}}
train: {{steps: 1000000, global_batch: 16, micro_batch: 2, dtype: fp32}}
optimizer: {{lr: 1.0e-2, warmup: 2}}
data: {{source: synthetic, synthetic_vocab: 64, synthetic_tokens: 20000}}
checkpoint: {{every: 3, keep_last: 2}}
evaluate: {{every: 25, batches: 1}}
log: {{every: 1000, peak_tflops: 0.1}}
comm: {{timeout: 30}}
"""
SAME = ("step", "loss", "grad_norm", "lr", "tokens", "val_loss", "train_loss")


def environment():
    env = dict(os.environ, OMP_NUM_THREADS="1", OMPI_MCA_btl_vader_single_copy_mechanism="none")
    if os.geteuid() == 0:
        env.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return env


def command(args, work, name, stop_at=0):
    train = [args.binary, "train", f"{work}/run.yaml", f"run.dir={work}/{name}", f"train.stop_at={stop_at}"]
    if not args.mpi:
        return train
    return ["mpirun", "-n", str(args.mpi), "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle",
            "1"] + train


def curve(work, name):
    with open(f"{work}/{name}/metrics.jsonl", encoding="utf-8") as lines:
        return [{key: repr(line.get(key)) for key in SAME} for line in map(json.loads, lines)]


def processes(marker):
    """Process ids whose command line has the marker: the ranks, and mpirun first."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if any(word == marker.encode() for word in words):
            found.append(int(entry))
    return sorted(found)


def latest(work, name):
    steps = [entry for entry in sorted(os.listdir(f"{work}/{name}/checkpoints")) if entry.startswith("step_")
             and not entry.endswith(".old")] if os.path.isdir(f"{work}/{name}/checkpoints") else []
    return int(steps[-1][5:]) if steps else -1


def end_of(child, marker):
    """Ends whatever is left of an attempt; mpirun gets a moment to clean up."""
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    for pid in processes(marker):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    child.wait()


def attempt(args, work, random_source, seconds):
    """Starts the run and kills it within `seconds`."""
    marker = f"run.dir={work}/run"
    with open(f"{work}/log.txt", "ab") as log:
        child = subprocess.Popen(command(args, work, "run"), stdout=log, stderr=log, env=environment())
        delay = random_source.uniform(0.0, seconds)
        try:
            child.wait(timeout=delay)
            raise SystemExit(f"the run ended by itself with exit code {child.returncode}; see {work}/log.txt")
        except subprocess.TimeoutExpired:
            pass
        targets = processes(marker) or [child.pid]
        if args.mpi and random_source.random() < 0.3:
            victims = targets  # a node that loses power
        else:
            victims = [random_source.choice(targets)]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        end_of(child, marker)


def verify(args, work, step):
    if step < 0:
        return
    path = f"{work}/run/checkpoints/step_{step:08d}"
    done = subprocess.run([args.binary, "checkpoint", "verify", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{path} is unusable:\n{done.stdout}{done.stderr}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--mpi", type=int, default=0, help="ranks under mpirun, 2 or 4; 0: two threads")
    parser.add_argument("--seconds", type=float, default=0.0, help="longest life of an attempt")
    parser.add_argument("--work", default=None)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    source = random.Random(seed)
    work = args.work or tempfile.mkdtemp()
    os.makedirs(work, exist_ok=True)
    binary = f"{work}/orthant"
    shutil.copy(args.binary, binary)
    args.binary = binary
    seconds = args.seconds or (4.0 if args.mpi else 1.5)
    with open(f"{work}/run.yaml", "w", encoding="utf-8") as file:
        file.write(RUN.format(work=work, tensor=2 if args.mpi == 4 else 1))

    began = time.time()
    newest = -1
    for kills in range(1, args.kills + 1):
        attempt(args, work, source, seconds)
        step = latest(work, "run")
        verify(args, work, step)
        if step < newest:
            raise SystemExit(f"after kill {kills} the newest checkpoint is of step {step}, before it of step {newest}")
        newest = step
        print(f"\rkill {kills}: checkpoint of step {step} is whole ", end="", flush=True)
    print()
    last = max(newest, 0) + 30
    for name in ("run", "alone"):
        subprocess.run(command(args, work, name, last), check=True, stdout=subprocess.DEVNULL, env=environment())
    assert len(curve(work, "run")) == last and curve(work, "alone") == curve(work, "run"), "the curves differ"
    diff = subprocess.run([args.binary, "checkpoint", "diff", f"{work}/alone", f"{work}/run", "--exit-code"],
                          capture_output=True, text=True, check=False)
    assert diff.returncode == 0, diff.stdout + diff.stderr
    print(f"{args.kills} kills, {last} steps, {time.time() - began:.0f} s: the curve and the last checkpoint equal the "
          "undisturbed run's to the bit; every checkpoint found was whole")
    if not args.keep:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
