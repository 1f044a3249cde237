#!/usr/bin/env python3
"""Training under a real SLURM of two nodes: srun, orthant submit, signals, requeue and the time limit.

  slurm_test.py BUILD_DIR BINARY
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../hosts")
from slurm import Slurm, obstacle  # noqa: E402
from testing import LONGEST, Ended, Tests, expect, wait_until  # noqa: E402

SOURCE = f"{os.path.dirname(os.path.abspath(__file__))}/../.."
MESH = ("parallel.data=2", "parallel.tensor=2", "parallel.zero=1")
SAME = 1e-12
SLOW = "fault.inject=[\"sleep rank=1 step={step} phase=data seconds={seconds}\"]"
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


class SlurmTests(Tests):
    def submit(self, slurm, name, *words, options=()):
        """-> the job's number."""
        command = [self.binary, "submit", *self.train(name)[2:], *MESH, *words, "--cluster",
                   f"{SOURCE}/configs/clusters/slurm.yaml", "--template", f"{SOURCE}/launch/slurm.sbatch", "--nodes", "2",
                   "--name", name, "--format", "json", *(options or ("--time", "10"))]
        done = subprocess.run(slurm.command("host1", *command), capture_output=True, text=True, cwd=self.work)
        expect(done.returncode == 0, f"orthant submit ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)["job"]

    def output(self, slurm, job):
        path = slurm.facts(job).get("StdOut", "")
        if not os.path.exists(path):
            return f"(no output: {path})"
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def end_of(self, slurm, name, job, code=0):
        """Waits for a job's end; -> what it printed."""
        facts = slurm.wait_for(job, OVER, LONGEST)
        out = self.output(slurm, job)
        expect(facts["ExitCode"].split(":")[0] == str(code) or (code == 0 and facts["JobState"] == "COMPLETED"),
               f"job {job} is {facts['JobState']} with {facts['ExitCode']}, expected {code}: {out[-2500:]}")
        wait_until(lambda: not self.left(slurm), 10.0, f"nothing is left running: {self.left(slurm)}")
        return out

    def left(self, slurm):
        return [line for host in slurm.names for line in slurm.processes(host).values() if self.binary in line]

    def wait_for_job_step(self, slurm, name, step, job):
        def there():
            state = slurm.facts(job).get("JobState")
            expect(state not in OVER, f"job {job} is {state} before step {step}: {self.output(slurm, job)[-2500:]}")
            return self.steps(name) >= step
        wait_until(there, LONGEST, f"step {step} of {name}")


def by_srun(tests, slurm):
    command = ["srun", "--mpi=pmix", "-N2", "-n4", *tests.train("srun", *MESH)]
    out = tests.run(slurm, "srun", command).out
    expect(sum(line.startswith("step=") for line in out.splitlines()) == 6, f"not one line a step: {out[-1500:]}")
    tests.same_curve("threads", "srun", SAME)


def submitted(tests, slurm):
    job = tests.submit(slurm, "whole")
    seen = set()

    def both():
        for host in slurm.names:
            if any(line.startswith(f"{tests.binary} train") for line in slurm.processes(host).values()):
                seen.add(host)
        return len(seen) == 2 or slurm.facts(job).get("JobState") in OVER
    wait_until(both, LONGEST, "ranks on both nodes")
    tests.end_of(slurm, "whole", job)
    expect(len(seen) == 2, f"ranks were seen on {sorted(seen)} only")
    tests.same_curve("threads", "whole", SAME)


def stopped(tests, slurm, name, signal, stop):
    """A signal in the middle saves; the same submit goes on, and gives the bits of the undisturbed job."""
    job = tests.submit(slurm, name, "comm.timeout=120", SLOW.format(step=4, seconds=4))
    tests.wait_for_job_step(slurm, name, 2, job)
    slurm.ask("scancel", f"--signal={signal}", *stop, job)
    tests.end_of(slurm, name, job, 7)
    before = tests.steps(name)
    expect(2 <= before < 6, f"it was stopped after step {before}")
    tests.end_of(slurm, name, tests.submit(slurm, name, "comm.timeout=120"))
    tests.same_curve("whole", name)
    tests.same_checkpoint("whole", name)
    return f"stopped after step {before}"


def requeued(tests, slurm):
    """A job that SLURM queues again goes on from its last checkpoint."""
    words = ("checkpoint.every=2", "comm.timeout=120", SLOW.format(step=4, seconds=6))
    job = tests.submit(slurm, "requeued", *words)
    tests.wait_for_job_step(slurm, "requeued", 3, job)
    slurm.ask("scontrol", "requeue", job)
    slurm.wait_for(job, ("PENDING",), 30.0)
    tests.end_of(slurm, "requeued", job)
    expect(slurm.facts(job)["Restarts"] == "1", "the job was not started again")
    tests.same_curve("whole", "requeued")
    tests.same_checkpoint("whole", "requeued")


def time_limit(tests, slurm):
    """Before the limit SLURM warns, the run saves and the job queues itself again, until all steps are done."""
    slow = json.dumps([f"sleep rank=1 step={step} phase=data seconds=15" for step in range(2, 7)])  # 75 s in all, of 60
    job = tests.submit(slurm, "limited", "comm.timeout=120", f"fault.inject={slow}",
                       options=("--time", "1", "--warn", "30", "--resubmit"))

    def again():
        facts = slurm.facts(job)
        expect(facts.get("JobState") not in OVER or facts.get("Restarts") != "0",
               f"it ended before the limit: {facts}, {tests.output(slurm, job)[-2500:]}")
        return facts.get("Restarts", "0") != "0"
    wait_until(again, LONGEST, "the job was queued again")
    out = tests.end_of(slurm, "limited", job)
    expect("is queued again, and goes on from the last checkpoint" in out, f"the script does not say so: {out[-2500:]}")
    tests.same_curve("whole", "limited")
    tests.same_checkpoint("whole", "limited")
    return f"{slurm.facts(job)['Restarts']} times"


def main():
    reason = obstacle()
    if reason:
        print(f"skipped: {reason}")
        return 77
    tests = SlurmTests("slurm.slurm", sys.argv)
    tests.check("4 threads", tests.threads, "threads", *MESH)
    with Slurm(2) as slurm:
        tests.check("srun --mpi=pmix on two nodes gives the curve of 4 threads", by_srun, tests, slurm)
        tests.check("orthant submit trains across both nodes to the end", submitted, tests, slurm)
        tests.check("scancel --signal=TERM saves, and the next submit goes on to the same bits", stopped, tests, slurm,
                    "term", "TERM", ())
        tests.check("scancel --signal=USR1 of the batch shell does too", stopped, tests, slurm, "usr1", "USR1", ("--batch",))
        tests.check("a requeued job goes on to the same bits", requeued, tests, slurm)
        tests.check("a job near its time limit saves, queues itself again and goes on to the same bits", time_limit, tests, slurm)
    return tests.finish()


if __name__ == "__main__":
    sys.exit(main())
