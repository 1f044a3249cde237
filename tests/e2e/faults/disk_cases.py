"""Saves and checkpoints: disks that are full or read-only, saves that are cut, files that are hurt afterwards."""
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess

from bench import DELAYS, SLACK, STEPS, Skip, expect
from case import Case, Expected, Outcome, check_end, check_same, first_words, go_on, inject, rehearse

SMALL_DISK = 64 << 10  # bytes that a disk has left when a save wants some 200 KB


def place(folder, step):
    return f"{folder}/checkpoints/step_{step:08d}"


def checkpoints(folder):
    return sorted(name for name in os.listdir(f"{folder}/checkpoints") if re.fullmatch(r"step_\d{8}", name))


ZERO = ("parallel.zero=1",)  # every rank's file holds something; without it, one of each group of replicas writes


# Cut saves.

def cut_saves():
    for tenth in range(1, 11):
        rank = (2, 0, 3)[tenth % 3]
        fault = f"kill rank={rank} step=4 phase=save at={tenth / 10}"
        expected = Expected((137, 4), (rf"\brank {rank}\b", "dead|ended"), (rank,), "dead", deadline=0.0)
        yield Case(f"save cut at {tenth}/10 of its bytes", f"rank {rank}, step 4", "mpi", "d2t2",
                   rehearse(fault, expected=expected, words=ZERO), tenth == 3, f"cut {tenth}")
        expected = Expected((137,), errors=0, deadline=0.0)
        yield Case(f"save cut at {tenth}/10 of its bytes", "the process, step 4", "local", "p2d2",
                   rehearse(f"kill rank={tenth % 4} step=4 phase=save at={tenth / 10}", expected=expected, words=ZERO),
                   tenth == 7, f"cut {tenth}")
    for moment, what in (("manifest", "when the manifest is written"), ("rename", "when the folder gets its name"),
                         ("latest", "when latest moves")):
        for backend in ("local", "mpi"):
            yield Case("save cut while it is put in place", what, backend, "d2t2", placing_cut(moment),
                       moment == "rename" and backend == "local", f"placing {moment}")


def placing_cut(moment):
    """kill -9 of rank 0, which puts checkpoints in place, as soon as a file shows that it is at it."""

    def come(folder):
        there = f"{folder}/checkpoints"
        signs = {"manifest": f"{there}/.step_00000004.writing/manifest.json*", "rename": place(folder, 4),
                 "latest": f"{there}/latest*"}
        if moment != "latest":
            return bool(glob.glob(signs[moment]) or os.path.isdir(place(folder, 4)))
        if not glob.glob(f"{there}/latest"):
            return False
        with open(f"{there}/latest", encoding="utf-8") as file:
            return "step_00000004" in file.read()

    def body(bench, case):
        backend, folder = case.backend, bench.folder(case.slug)
        started = bench.start(folder, backend, case.mesh)
        started.wait_for_step(2)
        victim = started.ranks()[0]
        started.wait_until(lambda: come(folder), pause=0.0005)
        os.kill(victim, signal.SIGKILL)
        ended = started.end()
        expect(not ended.hung and not ended.left, f"something still ran: {ended.left}")
        expect(ended.code in (137, 4), f"exit code {ended.code}: {ended.err}")
        done = bench.orthant("checkpoint", "verify", place(folder, int(checkpoints(folder)[-1][5:])))
        expect(done.returncode == 0, f"the newest checkpoint is not whole: {done.stdout}{done.stderr}")
        words = first_words(ended.error) if ended.error else "ended by the signal"
        return Outcome(str(ended.code), words, ended.seconds, go_on(bench, case, folder))

    return body


# Disks.

class SmallDisk:
    """A tmpfs in the place of a run's checkpoints, with `free` bytes left; root alone can mount it."""

    def __init__(self, folder, free):
        self.there = f"{folder}/checkpoints"
        self.kept = f"{folder}.kept"
        if os.geteuid() != 0:
            raise Skip("a tmpfs can be mounted by root alone")
        shutil.move(self.there, self.kept)
        os.makedirs(self.there)
        held = sum(4096 * -(-os.stat(path).st_size // 4096) + 4096 for path in glob.glob(f"{self.kept}/**", recursive=True))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={held + free}", "tmpfs", self.there],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(self.there)
            shutil.move(self.kept, self.there)
            raise Skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
        shutil.copytree(self.kept, self.there, dirs_exist_ok=True)

    def set(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.there], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.there], check=True)


def disk_fails(kind, backend):
    """After step 4 the disk of the checkpoints takes nothing more: saves fail, training goes on, the last save ends
    the run with exit code 3; with room on the disk, the same command ends well."""

    def body(bench, case):
        folder = bench.half(case.slug, backend, case.mesh)
        told = {"full": "No space left on device", "read-only": "Read-only file system"}[kind]
        with SmallDisk(folder, SMALL_DISK) as disk:
            if kind == "read-only":
                disk.set("ro")
            ended = bench.run(folder, backend, case.mesh)
            check_end(ended, Expected((3,), (told, "checkpoint of step 8|step_00000008|checkpoints")))
            expect(kind == "read-only" or re.search(r"warning .*step 6.*training goes on", ended.out),
                   f"the failed save of step 6 was not told: {ended.out[-1500:]}")
            expect(checkpoints(folder) == ["step_00000002", "step_00000004"],
                   f"there are {checkpoints(folder)}: earlier checkpoints must stay as they were")
            left = [name for name in os.listdir(disk.there) if name.startswith(".")]
            expect(kind == "read-only" or not left, f"the failed save left {left}")
            disk.set("rw,size=64m")
            curve = go_on(bench, case, folder)
        return Outcome("3", first_words(ended.error), -1.0, curve)

    return body


def read_only_midway(backend):
    """The disk turns read-only while the run is at work."""

    def body(bench, case):
        folder = bench.half(case.slug, backend, case.mesh)
        with SmallDisk(folder, 1 << 22) as disk:
            started = bench.start(folder, backend, case.mesh, inject("sleep rank=0 step=5 phase=data seconds=2.5"))
            started.wait_until(lambda: bool(started.ranks()) and len(open_logs(started)) > 0)
            disk.set("ro")
            ended = started.end()
            check_end(ended, Expected((3,), ("Read-only file system",)))
            expect(re.search(r"warning .*step 6.*training goes on", ended.out),
                   f"the failed save of step 6 was not told: {ended.out[-1500:]}")
            expect(checkpoints(folder) == ["step_00000002", "step_00000004"], f"there are {checkpoints(folder)}")
            disk.set("rw")
            curve = go_on(bench, case, folder)
        return Outcome("3", first_words(ended.error), -1.0, curve)

    return body


def open_logs(started):
    with open(started.log + ".out", encoding="utf-8", errors="replace") as file:
        return re.findall(r"the run goes on after step 4", file.read())


def file_limit(backend):
    """No root is needed for this one: the kernel refuses files beyond a size (ulimit -f), as a quota would."""

    def body(bench, case):
        folder = bench.half(case.slug, backend, case.mesh)
        started = bench.start(folder, backend, case.mesh, inject("sleep rank=0 step=5 phase=data seconds=2.5"))
        started.wait_until(lambda: len(started.ranks()) == (4 if backend == "mpi" else 1) and open_logs(started))
        for pid in started.ranks():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (16 << 10, 16 << 10))
        ended = started.end()
        check_end(ended, Expected((3,), ("File too large",)))
        expect(re.search(r"warning .*step 6.*training goes on", ended.out),
               f"the failed save of step 6 was not told: {ended.out[-1500:]}")
        expect(checkpoints(folder) == ["step_00000002", "step_00000004"], f"there are {checkpoints(folder)}")
        return Outcome("3", first_words(ended.error), -1.0, go_on(bench, case, folder))

    return body


def disks():
    for backend in ("local", "mpi"):
        for kind in ("full", "read-only"):
            yield Case(f"disk {kind}", "saves of steps 6 and 8", backend, "d2t2", disk_fails(kind, backend),
                       kind == "full" and backend == "mpi", f"disk {kind}")
        yield Case("disk turns read-only", "while step 5 runs", backend, "d2t2", read_only_midway(backend))
        yield Case("files may not grow (ulimit -f)", "saves of steps 6 and 8", backend, "d2t2", file_limit(backend),
                   backend == "local")


# Checkpoints that are hurt after they were written.

def flip(path, share):
    """Changes one bit, so far into the file."""
    with open(path, "r+b") as file:
        size = os.stat(path).st_size
        offset = min(size - 1, int(share * size))
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def shards(folder, step=4):
    return sorted(glob.glob(f"{place(folder, step)}/*.safetensors"))


def hurt(damage, words, backend):
    """`damage(folder)` to the newest checkpoint: it is passed over, told, and the one before it is gone on from."""

    def body(bench, case):
        folder = bench.half(case.slug, backend, case.mesh, ZERO)
        damage(folder)
        verify_tells(bench, folder, words)
        ended = bench.run(folder, backend, case.mesh, ZERO)
        expect(ended.code == 0, f"exit code {ended.code}: {ended.err}")
        note = re.search(r"passed over: .*", ended.out)
        expect(note and re.search(words, note.group(0)), f"'{words}' is not told: {ended.out[:3000]}")
        expect(re.search(r"goes on after step 2\b", ended.out), f"it did not go on from step 2: {ended.out[:3000]}")
        return Outcome("0", first_words(note.group(0)), -1.0, check_same(bench, case, folder, ZERO))

    return body


def verify_tells(bench, folder, words):
    done = bench.orthant("checkpoint", "verify", place(folder, 4))
    text = done.stdout + done.stderr
    expect(done.returncode == 5, f"orthant checkpoint verify ends with {done.returncode}: {text}")
    expect(re.search(words, text), f"orthant checkpoint verify does not say '{words}': {text}")
    expect("step_00000002: whole" in text, f"it does not say that step 2 is whole: {text}")


def unusable(damage, words, backend, code=5):
    """No checkpoint can be gone on from: told at the start; without them the run begins again."""

    def body(bench, case):
        folder = bench.half(case.slug, backend, case.mesh)
        damage(folder)
        ended = bench.run(folder, backend, case.mesh)
        check_end(ended, Expected((code,), (words,)))
        expect(ended.seconds < SLACK + DELAYS + 5.0, f"the end came after {ended.seconds:.1f} s")
        curve = go_on(bench, case, folder, ["checkpoint.resume=never"], ())
        return Outcome(str(code), first_words(ended.error), -1.0, curve)

    return body


def unharmed(damage, backend, told=None):
    """What is hurt is not needed: the run goes on from step 4. `told`: what `orthant checkpoint verify` says of it."""

    def body(bench, case):
        folder = bench.half(case.slug, backend, case.mesh)
        damage(folder)
        if told:
            verify_tells(bench, folder, told)
        ended = bench.run(folder, backend, case.mesh)
        check_end(ended, Expected((0,), errors=0))
        expect(re.search(r"goes on after step 4\b", ended.out), f"it did not go on from step 4: {ended.out[:3000]}")
        with open(f"{folder}/checkpoints/latest", encoding="utf-8") as file:
            expect(file.read().strip() == f"step_{STEPS:08d}", "latest does not name the last checkpoint")
        return Outcome("0", "goes on after step 4", -1.0, check_same(bench, case, folder, ()))

    return body


def newer_format(folder):
    path = f"{place(folder, 4)}/manifest.json"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert json.loads(text)["format"] == 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r'"format": *1\b', '"format": 2', text, count=1))


def write(path, content):
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


def damages():
    for n in range(4):
        backend = ("local", "mpi")[n % 2]
        yield Case("flipped bit in a shard", f"file {n}, at {2 * n + 3}/10", backend, "d2t2",
                   hurt(lambda folder, n=n: flip(shards(folder)[n], 0.3 + 0.2 * n), r"step_00000004", backend),
                   n == 1, f"flip shard {n}")
    yield Case("flipped bit in a shard's header", "its first byte", "local", "d2t2",
               unharmed(lambda folder: flip(shards(folder)[0], 0.0), "local", "shard_00000.*safetensors"))
    for tenth in (0, 2, 4, 6, 8, 10):
        backend = ("local", "mpi")[tenth // 2 % 2]
        yield Case("flipped bit in the manifest", f"at {tenth}/10", backend, "d2t2",
                   hurt(lambda folder, t=tenth: flip(f"{place(folder, 4)}/manifest.json", t / 10), "manifest.json",
                        backend), tenth == 4, f"flip manifest {tenth}")
    for backend in ("local", "mpi"):
        yield Case("missing shard", "step 4", backend, "d2t2",
                   hurt(lambda folder: os.remove(shards(folder)[2]), r"missing|no such|cannot be opened", backend),
                   backend == "mpi")
        yield Case("truncated shard", "step 4, its last 100 bytes", backend, "d2t2",
                   hurt(lambda folder: os.truncate(shards(folder)[1], os.stat(shards(folder)[1]).st_size - 100),
                        "bytes", backend), backend == "local")
        yield Case("empty shard", "step 4", backend, "d2t2",
                   hurt(lambda folder: os.truncate(shards(folder)[3], 0), "bytes|empty", backend))
        yield Case("manifest of a newer version", "step 4", backend, "d2t2",
                   unusable(newer_format, r"manifest.json.*(newer|version|format)", backend), backend == "mpi")
        yield Case("all checkpoints hurt", "a shard of each", backend, "d2t2",
                   unusable(lambda folder: [flip(shards(folder, step)[0], 0.5) for step in (2, 4)],
                            r"no checkpoint .*is whole(.|\n)*step_00000004(.|\n)*step_00000002", backend),
                   backend == "local")
    yield Case("missing manifest", "step 4", "local", "d2t2",
               hurt(lambda folder: os.remove(f"{place(folder, 4)}/manifest.json"), "manifest.json", "local"))
    yield Case("truncated manifest", "step 4, its half", "mpi", "d2t2",
               hurt(lambda folder: os.truncate(f"{place(folder, 4)}/manifest.json",
                                               os.stat(f"{place(folder, 4)}/manifest.json").st_size // 2),
                    "manifest.json", "mpi"))
    yield Case("latest is missing", "at the restart", "local", "d2t2",
               unharmed(lambda folder: os.remove(f"{folder}/checkpoints/latest"), "local"))
    yield Case("latest holds garbage", "at the restart", "mpi", "d2t2",
               unharmed(lambda folder: write(f"{folder}/checkpoints/latest", "step_x\x07"), "mpi"), True)
    yield Case("latest names a step that is gone", "at the restart", "local", "d2t2",
               unharmed(lambda folder: write(f"{folder}/checkpoints/latest", "step_00000099\n"), "local"))
    yield Case("leftovers of a save that was cut", "at the restart", "local", "d2t2",
               unharmed(lambda folder: shutil.copytree(place(folder, 4), f"{folder}/checkpoints/.step_00000006.writing"),
                        "local"))


def all_cases():
    yield from cut_saves()
    yield from disks()
    yield from damages()
