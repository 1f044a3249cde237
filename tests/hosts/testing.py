"""What the tests on several hosts share: a tiny run, cases and their counts, comparisons with an undisturbed run."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../e2e")
from compare_metrics import differences, read  # noqa: E402

RUN = """run: {name: tiny, seed: 11}
model: {family: gpt2, layers: 2, heads: 4, hidden: 16, context: 16, bias: true, dropout: 0.1, tie_embeddings: true}
train: {steps: 6, global_batch: 12, micro_batch: 1, dtype: fp64, clip: 1.0}
optimizer: {lr: 1.0e-2, min_lr: 1.0e-3, warmup: 2}
data: {source: synthetic, synthetic_vocab: 32, synthetic_tokens: 4000}
checkpoint: {every: 1000, keep_last: 10}
evaluate: {every: 3, batches: 1}
log: {every: 1, peak_tflops: 0.1}
"""
LONGEST = 240.0  # seconds of one run


class Failure(Exception):
    """The program did not do what a case expects."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"it did not come to this within {seconds:.0f} s: {what}")
        time.sleep(0.05)


class Ended:
    """What a run left: its exit code, what it printed, its verdict."""

    def __init__(self, folder, code, out, err):
        self.folder, self.code, self.out, self.err = folder, code, out, err
        # A message: its line, and those below it that are set in.
        self.errors = [m.group(0) for m in re.finditer(r"^error: .*(\n +.*)*", err, re.M)]

    def verdict(self):
        path = f"{self.folder}/flight/verdict.json"
        expect(os.path.exists(path), f"there is no flight/verdict.json; told was: {self.err[-1500:]}")
        with open(path, encoding="utf-8") as file:
            return json.load(file)


class Tests:
    """One test program: `tests.check(name, function, ...)` for each case, `sys.exit(tests.finish())` at its end."""

    def __init__(self, name, arguments):
        self.name, self.build = name, arguments[1]
        self.passed = self.failed = 0
        self.work = tempfile.mkdtemp(prefix="orthant-test-", dir="/tmp")
        self.binary = shutil.copy(arguments[2], f"{self.work}/orthant")  # a build beside us may replace it
        self.run_file = f"{self.work}/run.yaml"
        with open(self.run_file, "w", encoding="utf-8") as file:
            file.write(RUN)

    def check(self, name, function, *arguments):
        began = time.monotonic()
        try:
            result = function(*arguments)
        except Failure as failure:
            told = f"FAIL {name}: {failure}"
        except Exception:  # the other cases go on
            told = f"FAIL {name}: {traceback.format_exc()}"
        else:
            self.passed += 1
            print(f"ok {name} ({time.monotonic() - began:.0f} s){': ' + result if result else ''}", flush=True)
            return
        self.failed += 1
        print(told, flush=True)

    def finish(self):
        """Writes the counts where tests/run.sh looks; -> the exit code."""
        if self.failed == 0:
            shutil.rmtree(self.work, ignore_errors=True)
        else:
            print(f"the runs are in {self.work}")
        results = f"{self.build}/test-results"
        os.makedirs(results, exist_ok=True)
        with open(f"{results}/{self.name}.json", "w", encoding="utf-8") as file:
            counts = {"tests": self.passed + self.failed, "failures": self.failed, "disabled": 0, "errors": 0}
            file.write(json.dumps(counts, indent=2) + "\n")
        print(f"{self.passed} passed, {self.failed} failed")
        return 0 if self.failed == 0 and self.passed > 0 else 1

    def folder(self, name):
        return f"{self.work}/runs/{name}"

    def train(self, name, *words):
        """-> the words of the command that trains in a folder of this name."""
        return [self.binary, "train", self.run_file, f"run.dir={self.folder(name)}", *words]

    def open_logs(self, name):
        os.makedirs(f"{self.work}/logs", exist_ok=True)
        return [open(f"{self.work}/logs/{name}.{end}", "ab") for end in ("out", "err")]

    def ended(self, name, code):
        texts = []
        for end in ("out", "err"):
            with open(f"{self.work}/logs/{name}.{end}", encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
        return Ended(self.folder(name), code, *texts)

    def threads(self, name, *words):
        """Trains with ranks as threads of one process, here."""
        out, err = self.open_logs(name)
        with out, err:
            code = subprocess.run(self.train(name, *words), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                  env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=LONGEST).returncode
        expect(code == 0, f"exit code {code}: {self.ended(name, code).err[-1500:]}")

    def start(self, hosts, name, command):
        """-> a Popen of the command on host1; its output is in the logs of this name."""
        out, err = self.open_logs(name)
        with out, err:
            return hosts.start("host1", *command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def run(self, hosts, name, command, code=0):
        """Runs a command on host1 to its end. -> Ended"""
        running = self.start(hosts, name, command)
        try:
            running.wait(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            running.kill()
            raise Failure(f"it still ran after {LONGEST:.0f} s: {self.work}/logs/{name}.err") from None
        ended = self.ended(name, running.returncode)
        expect(ended.code == code, f"exit code {ended.code}, expected {code}: {ended.err[-1500:]}{ended.out[-500:]}")
        return ended

    def steps(self, name):
        try:
            with open(f"{self.folder(name)}/metrics.jsonl", encoding="utf-8") as lines:
                return sum(1 for _ in lines)
        except OSError:
            return 0

    def wait_for_step(self, name, step, running):
        def there():
            expect(running.poll() is None, f"the run ended by itself: {self.work}/logs/{name}.err")
            return self.steps(name) >= step
        wait_until(there, LONGEST, f"step {step} of {name}")

    def same_curve(self, name, other, tolerance=None):
        """Failure where two runs differ: in any bit, or relatively by more than the tolerance."""
        a, b = (read(f"{self.folder(run)}/metrics.jsonl") for run in (name, other))
        expect(a and len(a) == len(b), f"{name} has {len(a)} steps, {other} {len(b)}")
        for left, right in zip(a, b):
            for key, x, y in differences(left, right, tolerance):
                raise Failure(f"step {left['step']}: {key} is {x!r} in {name}, {y!r} in {other}")

    def same_checkpoint(self, name, other):
        """Failure where the last checkpoints differ in a bit."""
        last = [sorted(glob.glob(f"{self.folder(run)}/checkpoints/step_*"))[-1:] for run in (name, other)]
        expect(all(last) and len({os.path.basename(found[0]) for found in last}) == 1, f"the last checkpoints are {last}")
        names = [sorted(map(os.path.basename, glob.glob(f"{found[0]}/*.safetensors"))) for found in last]
        expect(names[0] and names[0] == names[1], f"the last checkpoints hold {names[0]} and {names[1]}")
        for file in names[0]:
            with open(f"{last[0][0]}/{file}", "rb") as x, open(f"{last[1][0]}/{file}", "rb") as y:
                expect(x.read() == y.read(), f"{file} of the last checkpoints of {name} and {other} differs")
