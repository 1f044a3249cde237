"""Ranks that die, hang, throw, are slow, or communicate otherwise than the others."""
import os
import re
import signal
import time

from bench import START_TIMEOUT, TIMEOUT, expect
from case import ROLES, Case, Expected, Outcome, check_end, check_same, first_words, go_on, inject, rehearse

# Where a step meets each phase: evaluation after steps 3 and 6, saves after 2, 4 and 6.
STEP = {"load": 0, "start": 0, "data": 5, "forward": 5, "backward": 5, "reduce": 5, "optimizer": 5, "evaluate": 3,
        "save": 4}
PHASES = ("start", "forward", "backward", "reduce", "optimizer", "evaluate", "save", "load")
ON_PIPELINE = ("forward", "backward", "reduce", "save")


def at(kind, rank, phase, extra=""):
    return f"{kind} rank={rank} step={STEP[phase]} phase={phase}{extra}"


def deadline(phase):
    return START_TIMEOUT if STEP[phase] == 0 else TIMEOUT


def placed(rank, phase, mesh):
    return f"{ROLES[mesh][rank]}, {phase}"


def kill_expected(rank):
    # mpirun's own exit code is the signal's, but where our abort comes first.
    return Expected((137, 4), (rf"\brank {rank}\b", "dead|ended"), (rank,), "dead", deadline=0.0)


def stop_expected(rank, phase):
    return Expected((4,), (rf"\brank {rank}\b", "suspended"), (rank,), "unresponsive", deadline=deadline(phase))


def killed_local(phase):
    """One process: nothing is left that could speak."""
    expected = Expected((137,), errors=0, deadline=0.0)
    return rehearse(at("kill", 0, phase), expected=expected, half=phase == "load")


def dead_and_silent():
    for mesh in ("d2t2", "p2d2"):
        for phase in PHASES if mesh == "d2t2" else ON_PIPELINE:
            for rank in (0, 2, 3) if mesh == "d2t2" else (1, 2):
                half = phase == "load"
                where = placed(rank, phase, mesh)
                quick = mesh == "d2t2" and (rank, phase) in ((2, "backward"),)
                yield Case("kill -9", where, "mpi", mesh,
                           rehearse(at("kill", rank, phase), expected=kill_expected(rank), half=half), quick,
                           f"kill {phase} {mesh}")
                quick = (mesh, rank, phase) in (("d2t2", 0, "save"),)
                yield Case("SIGSTOP", where, "mpi", mesh,
                           rehearse(at("stop", rank, phase), expected=stop_expected(rank, phase), half=half), quick,
                           f"stop {phase} {mesh}")
    for phase in PHASES:
        yield Case("kill -9", f"the process, {phase}", "local", "d2t2", killed_local(phase), phase == "reduce",
                   f"kill {phase} d2t2")


def suspended_for_a_moment(bench, case):
    """Shorter than the deadline: nothing is lost, and nobody is told of a failure."""
    backend = case.backend
    folder = bench.folder(case.slug)
    fault = [*inject("sleep rank=1 step=5 phase=data seconds=1.0"), "comm.timeout=30"]
    started = bench.start(folder, backend, case.mesh, fault)
    started.wait_for_step(4)
    ranks = started.ranks()
    expect(len(ranks) == (4 if backend == "mpi" else 1), f"found {len(ranks)} ranks")
    victim = ranks[-1]
    os.kill(victim, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(victim, signal.SIGCONT)
    ended = started.end()
    check_end(ended, Expected((0,), errors=0))
    return Outcome("0", "goes on", -1.0, check_same(bench, case, folder, ()))


def thrown():
    for backend in ("local", "mpi"):
        for rank, phase in ((2, "start"), (1, "forward"), (3, "backward"), (0, "reduce"), (2, "optimizer"),
                            (3, "evaluate"), (1, "save"), (0, "load")):
            expected = Expected((1,), (rf"\brank {rank}\b", "a fault was injected"), (rank,), "error", deadline=0.0)
            yield Case("exception", f"rank {rank}, {phase}", backend, "d2t2",
                       rehearse(at("throw", rank, phase), expected=expected, half=phase == "load"),
                       phase == "backward", f"throw {phase}")


def collectives():
    """Another operation than the others: found before data moves (comm.check), or by what comes of it."""
    for backend in ("local", "mpi"):
        for check in (True, False):
            for kind in ("skip", "double", "shape", "dtype"):
                for mesh, rank, phase in (("d2t2", 2, "reduce"), ("d2t2", 1, "forward"), ("p2d2", 3, "backward")):
                    if not check and backend == "local" and mesh == "p2d2":
                        continue  # the check is always on where ranks are threads
                    # Found at once, or when somebody waits in vain.
                    expected = Expected((4,), (r"\branks? [0-9, -]*", "step 5"), None, ".", deadline=TIMEOUT)
                    if check:
                        expected.cause = "mismatch|other operation|compute|between|ended|reduction|forward|error|data"
                    name = {"skip": "operation left out", "double": "operation called twice",
                            "shape": "operation of another shape", "dtype": "operation of another dtype"}[kind]
                    checked = "comm.check" if check else "without comm.check"
                    yield Case(name, f"rank {rank}, {phase}, {checked}", backend, mesh,
                               named(rehearse_checked(at(kind, rank, phase), expected, check), rank),
                               check and phase == "reduce" and (backend == "mpi") == (kind in ("shape", "dtype")),
                               f"{kind} {phase} {check}")


def rehearse_checked(fault, expected, check):
    """comm.check need not be the same at the restart."""

    def body(bench, case):
        folder = bench.folder(case.slug)
        words = [*inject(fault), f"comm.check={'true' if check else 'false'}"]
        ended = bench.run(folder, case.backend, case.mesh, words)
        check_end(ended, expected)
        return ended, folder

    return body


def named(body, rank):
    """The verdict must name the rank; where two differ, nobody can say which is right, and it is one of the two.

    What the rolling hash finds at the step's end is an error that all ranks have: its first line must name the rank.
    """

    def whole(bench, case):
        ended, folder = body(bench, case)
        ranks = ended.verdict["ranks"]
        sentence = ended.error.split("\n")[0]
        found = ended.verdict["cause"] == "error" and re.search(rf"\brank {rank}\b.* calls? ", sentence)
        expect(found or rank in ranks and len(ranks) <= 2, f"the verdict names ranks {ranks}, not {rank}: {ended.error}")
        return Outcome(str(ended.code), first_words(ended.error), ended.seconds, go_on(bench, case, folder))

    return whole


def slow():
    for backend in ("local", "mpi"):
        for rank, phase in ((2, "data"), (1, "forward"), (3, "reduce")):
            quiet = Expected((0,), errors=0)
            yield Case("slow rank, in time", f"rank {rank}, {phase}", backend, "d2t2",
                       rehearse(at("sleep", rank, phase, " seconds=1.5"), expected=quiet, restart=False),
                       backend == "local" and phase == "data", f"slow {phase}")
        causes = {"data": ("data loading", "data loading"), "forward": ("compute|forward", "forward"),
                  "backward": ("compute|backward", "backward"), "optimizer": ("compute|optimizer", "optimizer"),
                  "save": ("saving", "saving"), "evaluate": ("evaluation|compute", "evaluation")}
        for rank, phase in ((2, "data"), (1, "forward"), (0, "backward"), (3, "optimizer"), (1, "save"),
                            (2, "evaluate")):
            cause, word = causes[phase]
            expected = Expected((4,), (rf"\brank {rank}\b", word), (rank,), cause, deadline=TIMEOUT)
            yield Case("slow rank, too late", f"rank {rank}, {phase}", backend, "d2t2",
                       rehearse(at("sleep", rank, phase, " seconds=60"), expected=expected),
                       phase == "data" and backend == "mpi",
                       f"late {phase}")
    for backend in ("local", "mpi"):
        yield Case("SIGSTOP, SIGCONT in time", "a process, between two steps", backend, "d2t2",
                   suspended_for_a_moment)


def all_cases():
    yield from dead_and_silent()
    yield from thrown()
    yield from collectives()
    yield from slow()
