#!/usr/bin/env python3
"""Collectives side by side: ours as threads (local), ours under mpirun (mpi), OpenMPI's own, and gloo.

  python3 tests/benchmarks/compare_comm.py --build build/release --venv DIR [--ranks 2 4] [--sizes 1MiB 64MiB] [--rounds 5]

--venv names a Python environment with PyTorch, for gloo; without it the column is left out. Every round runs each of
the programs once, in an order that turns from round to round; `mpi` and OpenMPI's own take turns call by call within one
program. A figure is the median over the rounds of each run's median; a ratio is taken within each round, and the median
of these is shown with the least and the most. Under the table: how much of the machine others took meanwhile.
Sizes are those of the whole fp32 tensor on a rank.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OPS = ["all_reduce", "all_gather", "reduce_scatter", "all_to_all"]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size_of(text):
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(text[: -len(unit)]) * factor
    return int(text)


def gloo_rank(rank, ranks, meeting, ops, sizes, samples):
    """One process of gloo's run: times calls as `orthant bench comm` does and prints {op: {bytes: seconds}} on rank 0."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + meeting, rank=rank, world_size=ranks)
    times = {op: {} for op in ops}
    for bytes_ in sizes:
        whole, other = torch.empty(bytes_ // 4), torch.empty(bytes_ // 4)
        share = torch.empty(bytes_ // 4 // ranks)
        for tensor in (whole, other, share):
            tensor.fill_(0)
        calls = {
            "all_reduce": lambda: dist.all_reduce(whole),
            "all_gather": lambda: dist.all_gather_into_tensor(whole, share),
            "reduce_scatter": lambda: dist.reduce_scatter_tensor(share, whole),
            "all_to_all": lambda: dist.all_to_all_single(other, whole),
            "copy": lambda: other.copy_(whole),
        }
        for op in ops:
            mine = []
            for sample in range(-2, samples(bytes_)):  # two to warm up
                dist.barrier()
                start = time.perf_counter()
                calls[op]()
                if sample >= 0:
                    mine.append(time.perf_counter() - start)
            slowest = torch.tensor(mine, dtype=torch.float64)  # a collective is over when its last rank is
            dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
            times[op][bytes_] = statistics.median(slowest.tolist())
    if rank == 0:
        print(json.dumps(times))
    dist.destroy_process_group()


def samples_of(bytes_):
    return 7 if bytes_ >= 16 << 20 else 30


def busy_seconds():
    """CPU time that all processes of the machine have had so far."""
    with open("/proc/stat") as stat:
        fields = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def output_of(command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode}: {' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def times_in(axes):
    """{op: {bytes: seconds}} of the first axis of a link file."""
    return {o["op"]: {p["bytes"]: p["seconds"] for p in o["points"]} for o in axes[0]["operations"]}


def run_ours(a, ranks, launcher):
    times = {}
    for bytes_ in a.bytes:
        command = launcher + [os.path.join(a.build, "orthant"), "bench", "comm", "--mesh", f"data={ranks}", "--axis", "data",
                              "--ops", ",".join(a.ops + ["copy"]), "--sizes", str(bytes_), "--iterations",
                              str(samples_of(bytes_)), "--format", "json"]
        result = json.loads(output_of(command + (["--compare", "mpi"] if launcher else [])))
        ours = ("mpi" if launcher else "local", result["axes"])
        for who, axes in [ours] + ([("own", result["mpi_own"])] if launcher else []):
            for op, points in times_in(axes).items():
                times.setdefault(who, {}).setdefault(op, {}).update(points)
    return times


def run_gloo(a, ranks):
    with tempfile.TemporaryDirectory() as folder:
        python = os.path.join(a.venv, "bin", "python")
        job = json.dumps({"ranks": ranks, "meeting": os.path.join(folder, "meeting"), "ops": a.ops + ["copy"], "sizes": a.bytes})
        commands = [[python, os.path.abspath(__file__), "--gloo-rank", str(rank), job] for rank in range(ranks)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        processes = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True, env=environment) for c in commands]
        outputs = [process.communicate()[0] for process in processes]
        if any(process.returncode != 0 for process in processes):
            sys.exit(f"gloo's processes ended with {[process.returncode for process in processes]}")
    return {"gloo": {op: {int(b): s for b, s in points.items()} for op, points in json.loads(outputs[0]).items()}}


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def print_table(a, rounds):
    """rounds[i][ranks][who][op][bytes] -> seconds"""
    gloo = a.venv is not None
    print("| ranks | operation | bytes | `local` us | `mpi` us | OpenMPI's own us |" + (" gloo us |" if gloo else "")
          + " own / `mpi` |" + (" gloo / `mpi` | gloo / `local` |" if gloo else "") + " `mpi` / `local` |")
    print("|---" * (11 if gloo else 8) + "|")
    for ranks in a.ranks:
        for op in a.ops + ["copy"]:
            for bytes_ in a.bytes:
                at = lambda who: [r[ranks][who][op][bytes_] for r in rounds]
                over = lambda one, two: spread([x / y for x, y in zip(at(one), at(two))])
                micro = lambda who: f"{1e6 * statistics.median(at(who)):,.0f}"
                cells = [str(ranks), op, f"{bytes_:,}", micro("local"), micro("mpi"), micro("own")]
                cells += [micro("gloo")] if gloo else []
                cells += [over("own", "mpi")] + ([over("gloo", "mpi"), over("gloo", "local")] if gloo else [])
                print("| " + " | ".join(cells + [over("mpi", "local")]) + " |")


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--gloo-rank":
        job = json.loads(sys.argv[3])
        return gloo_rank(int(sys.argv[2]), job["ranks"], job["meeting"], job["ops"], job["sizes"], samples_of)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--venv")
    parser.add_argument("--ranks", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--sizes", nargs="+", default=["1MiB", "64MiB"])
    parser.add_argument("--ops", nargs="+", default=OPS, choices=OPS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="every round's figures, a line of JSON each")
    a = parser.parse_args()
    a.bytes = [size_of(size) for size in a.sizes]
    mpirun = os.path.join(HERE, "..", "support", "mpirun.sh")
    rounds, others = [], []
    for number in range(a.rounds):
        figures = {}
        for ranks in a.ranks:
            programs = [lambda: run_ours(a, ranks, []), lambda: run_ours(a, ranks, [mpirun, str(ranks)])]
            if a.venv:
                programs.append(lambda: run_gloo(a, ranks))
            for i in range(len(programs)):
                busy, own, start = busy_seconds(), own_seconds(), time.time()
                figures.setdefault(ranks, {}).update(programs[(i + number) % len(programs)]())
                taken = busy_seconds() - busy - (own_seconds() - own)
                others.append(max(0.0, taken / (time.time() - start) / os.cpu_count()))
        rounds.append(figures)
        print(f"round {number + 1} of {a.rounds}: others took {100 * statistics.mean(others[-len(others) // (number + 1):]):.0f} % "
              "of the machine", file=sys.stderr, flush=True)
        if a.out:
            with open(a.out, "a") as out:
                out.write(json.dumps(figures) + "\n")
    print_table(a, rounds)
    print(f"\n{a.rounds} rounds; others took {100 * statistics.median(others):.0f} % of the machine's cores in the median run, "
          f"{100 * max(others):.0f} % at most.")


if __name__ == "__main__":
    main()
