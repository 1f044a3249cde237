"""A case of the fault campaign: what is broken, what is expected, and the course that most of them take."""
import dataclasses
import re
from typing import Callable

from bench import DELAYS, MESHES, SLACK, START_TIMEOUT, TIMEOUT, expect

# A tiny run's ranks by their part in it.
ROLES = {
    "d2t2": {0: "rank 0 (leads and reports)", 2: "rank 2 (middle)", 3: "rank 3 (last)"},
    "p2d2": {0: "rank 0 (leads; first stage)", 1: "rank 1 (first stage)", 2: "rank 2 (last stage)",
             3: "rank 3 (last; last stage)"},
}


@dataclasses.dataclass
class Outcome:
    code: str        # exit code(s)
    words: str       # the verdict's first ones, or what was told
    seconds: float   # from the last sign of life to the end; < 0: nothing ended
    curve: str       # after the restart


@dataclasses.dataclass
class Case:
    fault: str
    where: str
    backend: str  # "mpi", "local", with "launch " before it under the supervisor
    mesh: str
    body: Callable  # (bench, case) -> Outcome; raises Failure or Skip
    quick: bool = False
    distinct: str = ""  # cases of one fault share it; "": the fault

    @property
    def name(self):
        return f"{self.fault}, {self.where}, {self.backend} {self.mesh}"

    @property
    def slug(self):
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:80]


@dataclasses.dataclass
class Expected:
    codes: tuple = (4,)
    words: tuple = ()      # patterns, each found in the message
    ranks: tuple = None    # of the verdict; None: any
    cause: str = None      # pattern
    errors: int = 1        # messages on stderr
    deadline: float = None  # seconds; None: none is due


def first_words(text, words=22):
    """The beginning of a message, without what differs from run to run."""
    text = re.sub(r"^error: ", "", text.split("\n")[0])
    text = re.sub(r"/\S*/runs/[^/ ,;:]+", "RUN", text)
    text = re.sub(r"process \d+ on (host )?[^ ,;]+", "process N", text)
    text = re.sub(r", since \d{4}-\S+ [\d:]+", "", text)
    parts = re.sub(r" {2,}", " ", text).split(" ")
    return " ".join(parts[:words]) + (" ..." if len(parts) > words else "")


def check_end(ended, expected):
    """Whether a run ended as expected: code, one message that names the right things, in time."""
    told = ended.err[-1500:]
    expect(ended.code in expected.codes, f"exit code {ended.code}, expected {expected.codes}: {told}")
    expect(len(ended.errors) == expected.errors,
           f"{len(ended.errors)} messages on stderr, expected {expected.errors}: {told}")
    for pattern in expected.words:
        expect(re.search(pattern, ended.error), f"the message does not say '{pattern}': {ended.error}")
    if expected.cause is not None or expected.ranks is not None:
        expect(ended.verdict is not None, f"there is no flight/verdict.json; told was: {told}")
        expect(ended.error.startswith("error: " + ended.verdict["text"].split("\n")[0]),
               f"verdict.json holds another text than was printed: {ended.verdict['text']}")
    if expected.cause is not None:
        cause = ended.verdict["cause"]
        expect(re.search(expected.cause, cause), f"the cause is '{cause}', expected {expected.cause}: {ended.error}")
    if expected.ranks is not None:
        ranks = tuple(ended.verdict["ranks"])
        expect(ranks == expected.ranks, f"the verdict names ranks {ranks}, expected {expected.ranks}: {ended.error}")
    if expected.deadline is not None:
        limit = expected.deadline + SLACK + DELAYS
        expect(ended.seconds <= limit, f"the end came after {ended.seconds:.1f} s, later than {limit:.1f}")


def go_on(bench, case, folder, words=(), reference_words=None):
    """Starts the same run without the fault, to its end; its curve must be an undisturbed run's. -> "same"."""
    backend = case.backend.split()[-1]
    ended = bench.run(folder, backend, case.mesh, words)
    expect(ended.code == 0, f"the restart ended with exit code {ended.code}: {ended.err[-1500:]}")
    bench.same(folder, bench.reference(backend, case.mesh, words if reference_words is None else reference_words))
    return "same"


def inject(*faults):
    texts = ", ".join(f'"{fault}"' for fault in faults)
    return [f"fault.inject=[{texts}]", f"comm.timeout={TIMEOUT}", f"comm.start_timeout={START_TIMEOUT}"]


def rehearse(*faults, expected, words=(), half=False, launch=(), restart=True):
    """The common course: a run with faults injected ends as expected; started again, it ends well.

    `words` stay for the restart. `half`: the run has been stopped after step 4, and goes on.
    """

    def body(bench, case):
        backend = case.backend.split()[-1]
        folder = bench.half(case.slug, backend, case.mesh) if half else bench.folder(case.slug)
        ended = bench.run(folder, backend, case.mesh, [*words, *inject(*faults)], launch)
        check_end(ended, expected)
        if case.quick and ended.verdict is not None:
            check_told_later(bench, folder, ended)
        said = ended.error or ("ended by the signal" if ended.code >= 128 else "goes on")
        curve = go_on(bench, case, folder, words) if restart else check_same(bench, case, folder, words)
        return Outcome(str(ended.code), first_words(said), ended.seconds if ended.code != 0 else -1.0, curve)

    return body


def check_told_later(bench, folder, ended):
    """`orthant flight` says the same, from the files."""
    done = bench.orthant("flight", folder)
    expect(done.returncode == 0 and ended.verdict["text"] in done.stdout,
           f"orthant flight says (exit code {done.returncode}): {done.stdout}{done.stderr}")


def check_same(bench, case, folder, words):
    bench.same(folder, bench.reference(case.backend.split()[-1], case.mesh, words))
    return "same"


assert set(ROLES) == set(MESHES)
