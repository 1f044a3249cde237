"""Faults of whole runs: signals, two runs in one folder, numbers that are not finite, runs under the supervisor."""
import json
import os
import re
import signal

from bench import Bench, expect, send
from case import Case, Expected, Outcome, check_end, check_same, first_words, go_on, inject, rehearse
from compare_metrics import differences, read

PAUSE = "sleep rank=0 step=5 phase=data seconds=1.5"  # so that a signal comes while a step is under way


# Signals that ask for an end.

def told_to_stop(number, whom, codes, launch=()):
    """`whom`: "all" ranks, "one" of them, or "mpirun"/"launch", the process that started them."""

    def body(bench, case):
        backend = case.backend.split()[-1]
        folder = bench.folder(case.slug)
        started = bench.start(folder, backend, case.mesh, [*inject(PAUSE), "comm.timeout=30"], launch)
        started.wait_for_step(4)
        ranks = started.ranks()
        expect(len(ranks) == (4 if backend == "mpi" else 1), f"found {len(ranks)} ranks")
        victims = {"all": ranks, "one": [ranks[2 % len(ranks)]]}.get(whom, [started.process.pid])
        for pid in victims:
            os.kill(pid, number)
        ended = started.end()
        expect(not ended.hung and not ended.left, f"something still ran: {ended.left}")
        expect(ended.code in codes, f"exit code {ended.code}, expected {codes}: {ended.err[-1500:]}")
        words = "ended by mpirun"
        if ended.code == 7:
            # `orthant launch` gives mpirun SIGUSR1 in place of SIGTERM: mpirun leaves its ranks no time after that.
            name = "SIGUSR1" if whom == "launch" else signal.Signals(number).name
            check_end(ended, Expected((7,), (f"stopped by {name}", "saved")))
            words = first_words(ended.error)
        return Outcome(str(ended.code), words, -1.0, go_on(bench, case, folder))

    return body


def signals():
    for number in (signal.SIGTERM, signal.SIGUSR1):
        name = number.name
        yield Case(name, "the process", "local", "d2t2", told_to_stop(number, "all", (7,)),
                   number == signal.SIGTERM)
        yield Case(name, "all ranks", "mpi", "d2t2", told_to_stop(number, "all", (7,)), distinct=f"{name} all")
        yield Case(name, "one rank", "mpi", "d2t2", told_to_stop(number, "one", (7,)), distinct=f"{name} one")
        # OpenMPI's mpirun gives the ranks 2 s after SIGTERM, and then its own exit code.
        codes = (7, 1, 137, 143) if number == signal.SIGTERM else (7,)
        yield Case(name, "mpirun", "mpi", "d2t2", told_to_stop(number, "mpirun", codes), number == signal.SIGUSR1,
                   f"{name} mpirun")
        yield Case(name, "orthant launch", "launch mpi", "d2t2",
                   told_to_stop(number, "launch", (7,), ("--restarts", "1")), distinct=f"{name} launch")


# Two runs in one folder.

def second_run(second_words, code, pattern):
    def body(bench, case):
        folder = bench.folder(case.slug)
        pause = ["fault.inject=[\"sleep rank=0 step=4 phase=data seconds=1.5\"]"]
        first = bench.start(folder, case.backend, case.mesh, pause)
        first.wait_for_step(3)
        ranks = first.ranks()
        send(ranks, signal.SIGSTOP)  # so that it is not over before the second one has begun
        second = bench.start(folder, case.backend, case.mesh, second_words)
        second.process.wait(timeout=60)
        send(ranks, signal.SIGCONT)
        with open(second.log + ".err", encoding="utf-8") as file:
            error = file.read()
        expect(second.process.returncode == code, f"exit code {second.process.returncode}: {error}")
        errors = re.findall(r"^error: .*", error, re.M)
        expect(len(errors) == 1 and re.search(pattern, errors[0]) and folder in errors[0], f"told was: {error}")
        ended = first.end()
        check_end(ended, Expected((0,), errors=0))
        return Outcome(str(code), first_words(errors[0]), -1.0, check_same(bench, case, folder, ()))

    return body


def folders():
    for backend in ("local", "mpi"):
        yield Case("two runs in one folder", "a second start while the first runs", backend, "d2t2",
                   second_run((), 2, "in use by process"), backend == "local")


# Numbers.

def lines(folder, file):
    with open(f"{folder}/{file}", encoding="utf-8") as text:
        return [json.loads(line) for line in text]


def stops(kind, words, anomaly):
    expected = Expected((6,), ("step 5", words))
    return rehearse(f"{kind} rank=2 step=5 phase=reduce", expected=expected, words=anomaly)


def survives(kind, anomaly, action, backend):
    """Skipped or rolled back: told, kept in the ledger, and the same after a restart at a later step."""
    fault = f"{kind} rank=2 step=5 phase=reduce"

    def body(bench: Bench, case):
        alone = bench.folder(case.slug)
        calm = "comm.timeout=30"  # no deadline is due here, and a disk may take its time
        ended = bench.run(alone, backend, case.mesh, [*anomaly, *inject(fault), calm])
        check_end(ended, Expected((0,), errors=0))
        note = re.search(r"note +(step 5.*)", ended.out)
        expect(note is not None and re.search(action, note.group(1)), f"'{action}' is not told: {ended.out[-3000:]}")
        ledger = lines(alone, "skipped.jsonl")
        expect(len(ledger) == 1 and ledger[0]["step"] == 5, f"the ledger of skipped samples holds {ledger}")
        undisturbed = read(f"{bench.reference(backend, case.mesh, anomaly)}/metrics.jsonl")
        for a, b in zip(undisturbed[:4], read(f"{alone}/metrics.jsonl")):
            expect(not list(differences(a, b, None)), f"step {a['step']} differs from the undisturbed run's")
        # The same once more, but with an end before and behind the save of step 6: what was left out stays left out.
        for last in (6, 7):
            folder = bench.folder(f"{case.slug}.ended-{last}")
            ended = bench.run(folder, backend, case.mesh,
                              [*anomaly, *inject(fault, f"throw rank=1 step={last} phase=backward"), calm])
            expect(ended.code == 1, f"exit code {ended.code}: {ended.err}")
            # A rollback saves what it left out. A skip is only in the next save: should that have been cut, step 5 is
            # met once more, with its fault.
            faults = () if "rollback" in case.fault else (fault,)
            ended = bench.run(folder, backend, case.mesh, [*anomaly, *inject(*faults), calm])
            expect(ended.code == 0, f"the restart ended with exit code {ended.code}: {ended.err}")
            bench.same(folder, alone)
            expect(lines(folder, "skipped.jsonl") == ledger, "the ledger of skipped samples differs after a restart")
        return Outcome("0", first_words(note.group(1)), -1.0, "same")

    return body


def numbers():
    spike = ("anomaly.spike_window=3", "anomaly.spike_factor=3")
    for backend in ("local", "mpi"):
        yield Case("loss not finite, stop", "rank 2, step 5", backend, "d2t2",
                   stops("nan", "loss nan", ("anomaly.non_finite=stop",)), backend == "mpi")
        yield Case("loss spikes, stop", "rank 2, step 5", backend, "d2t2",
                   stops("spike", "median", ("anomaly.spike=stop", *spike)))
        for action, word in (("skip", "skipped"), ("rollback", "back to step 4")):
            back = ("anomaly.rollback_steps=1",)
            yield Case(f"loss not finite, {action}", "rank 2, step 5", backend, "d2t2",
                       survives("nan", (f"anomaly.non_finite={action}", *back), word, backend),
                       backend == "local" and action == "rollback")
            yield Case(f"loss spikes, {action}", "rank 2, step 5", backend, "d2t2",
                       survives("spike", (f"anomaly.spike={action}", *spike, *back), word, backend),
                       backend == "local" and action == "skip")
        for mesh, rank in (("d2t2", 2), ("p2d2", 1)):
            expected = Expected((6,), ("step 5", "differs between", rf"\b{rank}\b", "parameter|moment|master"))
            yield Case("a replica drifts", f"rank {rank}, step 5", backend, mesh,
                       rehearse(f"drift rank={rank} step=5 phase=optimizer", expected=expected,
                                words=("train.check_replicas=1",)), backend == "mpi" and mesh == "d2t2")


# Under the supervisor.

def supervised(faults, restarts, codes, backend, words=()):
    """-> a body for a run that `orthant launch` starts again as often as it may."""

    def body(bench, case):
        folder = bench.folder(case.slug)
        ended = bench.run(folder, backend, case.mesh, [*inject(*faults)],
                          ("--restarts", str(restarts), "--backoff", "0.1"))
        expect(ended.code in codes, f"exit code {ended.code}, expected {codes}: {ended.err[-3000:]}")
        for pattern in words:
            expect(re.search(pattern, ended.err), f"'{pattern}' is not told: {ended.err[-3000:]}")
        with open(f"{folder}/launch.log", encoding="utf-8") as file:
            log = [line.split(" ", 3)[-1].strip() for line in file]
        if ended.code == 0:
            curve = check_same(bench, case, folder, ())
        else:
            expect(len(ended.errors) >= 1, f"there is no message: {ended.err}")
            curve = go_on(bench, case, folder)
        return Outcome(str(ended.code), first_words(log[-1]), -1.0, curve)

    return body


def under_supervision():
    kill, stop = "kill rank=2 step=5 phase=backward", "stop rank=1 step=5 phase=forward"
    for name, fault in (("kill -9", kill), ("SIGSTOP", stop)):
        yield Case(f"{name}, no restart", "step 5", "launch mpi", "d2t2", supervised((fault,), 0, (4,), "mpi", (
            r"error: .*rank [12]\b",)), name == "kill -9")
        yield Case(f"{name}, one restart", "step 5", "launch mpi", "d2t2", supervised((fault,), 1, (0,), "mpi", (
            r"restart 1 of 1", r"verdict: .*rank [12]\b")), name == "SIGSTOP")
    yield Case("kill -9, one restart", "step 5", "launch local", "d2t2",
               supervised(("kill rank=0 step=5 phase=backward",), 1, (0,), "local", (r"restart 1 of 1",)), True)
    yield Case("exception, one restart", "step 5", "launch mpi", "d2t2",
               supervised(("throw rank=3 step=5 phase=forward",), 1, (0,), "mpi", (r"restart 1 of 1",)))
    yield Case("kill -9 in two attempts", "steps 3 and 7", "launch mpi", "d2t2",
               supervised(("kill rank=3 step=3 phase=forward", "kill rank=0 step=7 phase=reduce attempt=1"), 2, (0,),
                          "mpi", (r"restart 2 of 2",)))
    yield Case("kill -9 that repeats", "step 5, twice", "launch mpi", "d2t2",
               supervised((kill, kill + " attempt=1"), 5, (4,), "mpi", ("same step|step 4|step 5",)))


def all_cases():
    yield from signals()
    yield from folders()
    yield from numbers()
    yield from under_supervision()
