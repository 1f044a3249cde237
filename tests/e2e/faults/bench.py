"""The bench of the fault campaign: starts tiny runs on either backend, watches them, cleans up behind them, compares."""
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from compare_metrics import differences, read  # noqa: E402

STEPS = 8
TIMEOUT = 4.0        # comm.timeout, and ...
START_TIMEOUT = 8.0  # ... comm.start_timeout of a run that a fault is injected into
SLACK = 5.0          # from the deadline to the end, as promised
DELAYS = 5.0         # of the machine: from the last sign of life to the fault, and from the end to our seeing it

# Degrees, each of 4 ranks. Where ranks stand: pipeline outermost, then data, then tensor.
MESHES = {
    "d2t2": ("parallel.data=2", "parallel.tensor=2"),
    "p2d2": ("parallel.pipeline=2", "parallel.data=2"),
}
RANKS = 4

RUN = """run: {{name: tiny, seed: 11}}
model: {{family: gpt2, layers: 2, heads: 4, hidden: 16, context: 16, bias: true, dropout: 0.1, tie_embeddings: true}}
train: {{steps: {steps}, global_batch: 8, micro_batch: 2, dtype: fp64, clip: 1.0}}
optimizer: {{lr: 1.0e-2, min_lr: 1.0e-3, warmup: 2}}
data: {{source: synthetic, synthetic_vocab: 32, synthetic_tokens: 4000}}
checkpoint: {{every: 2, keep_last: 10}}
evaluate: {{every: 3, batches: 1}}
log: {{every: 1, peak_tflops: 0.1}}
"""


class Failure(Exception):
    """The program did not do what a case expects."""


class Skip(Exception):
    """A case that cannot be run here, and why."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def processes(marker):
    """Ids of running processes (not of ended ones) that have this word in their command line; mpirun among them."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            with open(f"/proc/{entry}/stat", encoding="latin-1") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in words and state not in "ZX":
            found.append(int(entry))
    return sorted(found)


def program_of(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Started:
    """One run of the program, under way."""

    def __init__(self, bench, folder, command, env):
        self.bench, self.folder = bench, folder
        self.marker = f"run.dir={folder}"
        bench.starts += 1
        self.log = f"{bench.work}/logs/{os.path.basename(folder)}.{bench.starts}"
        with open(self.log + ".out", "wb") as out, open(self.log + ".err", "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env,
                                            start_new_session=True)
        self.began = time.time()

    def ranks(self):
        """Process ids of the ranks, in the order of ranks (mpirun forks them so)."""
        return [pid for pid in processes(self.marker) if program_of(pid) == os.path.basename(self.bench.binary)
                and b"launch" not in command_line(pid)]

    def steps(self):
        try:
            with open(f"{self.folder}/metrics.jsonl", encoding="utf-8") as lines:
                return sum(1 for _ in lines)
        except OSError:
            return 0

    def wait_until(self, condition, seconds=60.0, pause=0.02):
        end = time.time() + seconds
        while not condition():
            expect(self.process.poll() is None, f"the run ended by itself: {self.log}.err")
            expect(time.time() < end, f"what a case waits for did not come within {seconds} s")
            time.sleep(pause)

    def wait_for_step(self, step, seconds=60.0):
        self.wait_until(lambda: self.steps() >= step, seconds)

    def last_sign_of_life(self):
        """When; a rank that mpirun wakes up to end it may write once more after the verdict: that is none."""
        verdict = f"{self.folder}/flight/verdict.json"
        latest = os.stat(verdict).st_mtime if os.path.exists(verdict) else time.time()
        times = [os.stat(path).st_mtime for path in glob.glob(f"{self.folder}/*") if os.path.isfile(path)]
        return max([at for at in times if at <= latest] + [self.began])

    def end(self, limit=120.0):
        """Waits for the end. -> Ended. Nothing of the run is running afterwards."""
        hung = False
        try:
            self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            hung = True
        ended = time.time()
        # Ranks may need a moment to be collected.
        while not hung and processes(self.marker) and time.time() < ended + 3.0:
            time.sleep(0.05)
        left = processes(self.marker)
        send(left, signal.SIGKILL)
        self.process.wait()
        return Ended(self, hung, left if not hung else [], ended - self.last_sign_of_life())


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[:2]
    except OSError:
        return []


class Ended:
    """What a run left: its exit code as a shell would see it, what it printed, its verdict."""

    def __init__(self, started, hung, left, seconds):
        code = started.process.returncode
        self.code = 128 - code if code < 0 else code
        self.hung, self.left, self.seconds, self.log = hung, left, seconds, started.log
        with open(started.log + ".out", encoding="utf-8", errors="replace") as file:
            self.out = file.read()
        with open(started.log + ".err", encoding="utf-8", errors="replace") as file:
            self.err = file.read()
        # A message: its line, and those below it that are set in.
        self.errors = [m.group(0) for m in re.finditer(r"^error: .*(\n +.*)*", self.err, re.M)]
        self.verdict = None
        try:
            with open(f"{started.folder}/flight/verdict.json", encoding="utf-8") as file:
                self.verdict = json.load(file)
        except (OSError, ValueError):
            pass

    @property
    def error(self):
        return self.errors[0] if self.errors else ""


class Bench:
    """A folder of runs, and the undisturbed ones that the others are compared with."""

    def __init__(self, binary):
        self.work = tempfile.mkdtemp(prefix="faults-", dir="/tmp")
        self.sessions = tempfile.mkdtemp(prefix="f", dir="/tmp")  # OpenMPI's sockets want a short path
        os.makedirs(f"{self.work}/logs")
        self.binary = shutil.copy(binary, f"{self.work}/orthant")  # a build beside us may replace it
        self.run_file = f"{self.work}/run.yaml"
        self.starts = 0
        self.known = {}
        self.lock = threading.Lock()  # of `known`
        with open(self.run_file, "w", encoding="utf-8") as file:
            file.write(RUN.format(steps=STEPS))
        self.mpirun = shutil.which("mpirun")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def close(self, keep):
        if not keep:
            shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.sessions, ignore_errors=True)

    def environment(self):
        env = {key: value for key, value in os.environ.items() if key != "ORTHANT_ATTEMPT"}
        env.update(OMP_NUM_THREADS="1", TMPDIR=self.sessions, OMPI_MCA_btl_vader_single_copy_mechanism="none")
        if os.geteuid() == 0:
            env.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        return env

    def start(self, folder, backend, mesh, words=(), launch=()):
        """`launch`: options of `orthant launch`, which then starts all the rest; empty: without it."""
        command = [self.binary, "train", self.run_file, f"run.dir={folder}", *MESHES[mesh], *words]
        if backend == "mpi":
            if self.mpirun is None:
                raise Skip("mpirun is not on PATH")
            command = [self.mpirun, "-n", str(RANKS), "--oversubscribe", "--bind-to", "none", "--mca",
                       "mpi_yield_when_idle", "1"] + command
        if launch:
            command = [self.binary, "launch", *launch, "--"] + command
        return Started(self, folder, command, self.environment())

    def run(self, folder, backend, mesh, words=(), launch=(), limit=120.0):
        ended = self.start(folder, backend, mesh, words, launch).end(limit)
        expect(not ended.hung, f"it still ran after {limit} s: {ended.log}.err")
        expect(not ended.left, f"{len(ended.left)} processes were left behind")
        return ended

    def orthant(self, *words):
        return subprocess.run([self.binary, *words], capture_output=True, text=True, check=False, timeout=120,
                              env=self.environment())

    def folder(self, name):
        return f"{self.work}/runs/{name}"

    def reference(self, backend, mesh, words=(), stop=0):
        """A run that nothing disturbs (up to a step, with `stop`), made once. -> its folder."""
        key = (backend, mesh, tuple(words), stop)
        with self.lock:
            if key not in self.known:
                folder = self.folder(f"reference{len(self.known)}")
                ended = self.run(folder, backend, mesh, [*words, *([f"train.stop_at={stop}"] if stop else [])])
                expect(ended.code == 0, f"the undisturbed run failed with exit code {ended.code}: {ended.err}")
                self.known[key] = folder
            return self.known[key]

    def half(self, name, backend, mesh, words=()):
        """A run that has been stopped after step 4, with checkpoints of steps 2 and 4. -> its folder, a copy."""
        folder = self.folder(name)
        shutil.copytree(self.reference(backend, mesh, words, stop=4), folder)
        return folder

    def same(self, folder, reference):
        """Failure where the run is not, to the bit, what the undisturbed one is: curve and last checkpoint."""
        a, b = read(f"{reference}/metrics.jsonl"), read(f"{folder}/metrics.jsonl")
        expect(len(a) == len(b) == STEPS, f"the curve has {len(b)} steps, undisturbed {len(a)}")
        for left, right in zip(a, b):
            for key, x, y in differences(left, right, None):
                raise Failure(f"step {left['step']}: {key} is {y!r}, undisturbed {x!r}")
        place = f"checkpoints/step_{STEPS:08d}"
        names = sorted(os.path.basename(path) for path in glob.glob(f"{reference}/{place}/*.safetensors"))
        mine = sorted(os.path.basename(path) for path in glob.glob(f"{folder}/{place}/*.safetensors"))
        expect(names and names == mine, f"the last checkpoint holds {mine}, undisturbed {names}")
        for name in names:
            with open(f"{reference}/{place}/{name}", "rb") as x, open(f"{folder}/{place}/{name}", "rb") as y:
                expect(x.read() == y.read(), f"{name} of the last checkpoint differs from the undisturbed run's")
