#!/usr/bin/env python3
"""Runs on several hosts: the curve of threads, over good, slow and lossy links, stopped by a signal and resumed.

  curves_test.py BUILD_DIR BINARY
"""
import signal
import subprocess
import sys

from hosts import Hosts, obstacle
from testing import LONGEST, Tests, expect

ALL_AXES = ("parallel.data=2", "parallel.tensor=2", "parallel.pipeline=2", "parallel.sequence=2", "parallel.zero=1",
            "train.global_batch=8")
TWO_AXES = ("parallel.data=2", "parallel.tensor=2", "parallel.zero=1", "train.global_batch=8")
SAME = 1e-12


def mpirun(tests, ranks, name, *words):
    return ["mpirun", "-n", str(ranks), *tests.train(name, "comm.timeout=120", "comm.start_timeout=120", *words)]


def on_hosts(tests, hosts, ranks, name, *words):
    ended = tests.run(hosts, name, mpirun(tests, ranks, name, *words))
    expect(not any(hosts.processes(host) for host in hosts.names), "processes are left on the hosts")
    return ended


def sixteen_ranks(tests, hosts):
    on_hosts(tests, hosts, 16, "hosts", *ALL_AXES)
    tests.same_curve("threads", "hosts", SAME)


def stopped_and_resumed(tests, hosts):
    """The signal comes in the middle; what the two parts compute together is what one run does, to the bit."""
    running = tests.start(hosts, "stopped", mpirun(tests, 16, "stopped", *ALL_AXES))
    tests.wait_for_step("stopped", 2, running)
    running.send_signal(signal.SIGUSR1)
    try:
        code = running.wait(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        running.kill()
        code = -1
    expect(code == 7, f"exit code {code}, expected 7: {tests.ended('stopped', code).err[-1500:]}")
    before = tests.steps("stopped")
    expect(before < tests.steps("hosts"), "the signal came too late: all steps were done")
    on_hosts(tests, hosts, 16, "stopped", *ALL_AXES)
    tests.same_curve("hosts", "stopped")
    tests.same_checkpoint("hosts", "stopped")
    return f"stopped after step {before}"


def bad_link(tests):
    with Hosts(2, slots=2) as hosts:
        hosts.shape("host2", delay_ms=2.0, loss_percent=1.0)
        on_hosts(tests, hosts, 4, "lossy", *TWO_AXES)
    tests.same_curve("four-threads", "lossy", SAME)


def main():
    reason = obstacle()
    if reason:
        print(f"skipped: {reason}")
        return 77
    tests = Tests("hosts.curves", sys.argv)
    tests.check("16 threads", tests.threads, "threads", *ALL_AXES)
    with Hosts(4, slots=4) as hosts:
        tests.check("16 ranks on 4 hosts give the curve of 16 threads", sixteen_ranks, tests, hosts)
        tests.check("a signal saves, and the next start goes on to the same bits", stopped_and_resumed, tests, hosts)
    tests.check("4 threads", tests.threads, "four-threads", *TWO_AXES)
    tests.check("a slow and lossy link does not change the curve", bad_link, tests)
    return tests.finish()


if __name__ == "__main__":
    sys.exit(main())
